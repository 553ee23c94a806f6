"""The geometry of a convolution: the places at which a layer's weights are applied."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sparsectl.common.errors import UserError

MAX_PATCH_VALUES = 4_000_000
"""The most values under the kernel at all of its places together: what a convolution reads. It is a
thousand times what a microcontroller has time for."""
MAX_PIXELS = 32_000
"""The longest row or column, pads included: 16-bit ints count it."""
_MOST = 2**20
"""The largest value of any size, so that no product of sizes exceeds 64 bits."""


@dataclass(frozen=True)
class Convolution:
    """A kernel over an image, in two dimensions; one dimension is an image of one row.

    The layer's weights are [output channels, `patch_size`]: at each place the same ones are
    multiplied by the patch under the kernel, row by row of it, in each row pixel by pixel, of each
    pixel its channels in order. Beyond the image's edge a patch is 0. The results are those of the
    places row by row, of each place all output channels.
    """

    channels: int
    height: int
    width: int
    kernel: tuple[int, int]
    """Rows and columns."""
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Above, left, below and right, in ONNX's order."""
    channels_first: bool = False
    """True if the image is stored channel by channel, [channels, height, width]; False if pixel by
    pixel, [height, width, channels]."""

    def __post_init__(self) -> None:
        for name in ("kernel", "strides", "dilations", "pads"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        sizes = (self.channels, self.height, self.width, *self.kernel)
        steps = (*self.strides, *self.dilations)
        lengths = tuple(map(len, (self.kernel, self.strides, self.dilations, self.pads)))
        whole = all(type(each) is int for each in (*sizes, *steps, *self.pads))
        if not whole or lengths != (2, 2, 2, 4) or not isinstance(self.channels_first, bool):
            raise UserError(f"a convolution of {self}; give whole numbers, two dimensions")
        if not all(1 <= each <= _MOST for each in (*sizes, *steps)):
            raise UserError(
                f"a convolution with the sizes {list(sizes)} and the strides and dilations "
                f"{list(steps)}; give numbers from 1 to {_MOST}"
            )
        if not all(0 <= pad <= _MOST for pad in self.pads):
            raise UserError(f"a convolution with pads {list(self.pads)}; give numbers from 0 on")
        top, left, bottom, right = self.pads
        padded = max(self.height + top + bottom, self.width + left + right)
        if padded > MAX_PIXELS:
            raise UserError(
                f"an image of {self.height} x {self.width} with the pads {list(self.pads)}; give "
                f"at most {MAX_PIXELS} pixels in a row or column"
            )
        if min(self.places) < 1:
            raise UserError(
                f"a kernel of {self.kernel[0]} x {self.kernel[1]} with the dilations "
                f"{list(self.dilations)} is larger than its image of {self.height} x {self.width} "
                f"with the pads {list(self.pads)}; pad the image or give a smaller kernel"
            )
        read = self.count * self.patch_size
        if read > MAX_PATCH_VALUES:
            raise UserError(
                f"a convolution that reads {read} values ({self.count} places of "
                f"{self.patch_size}); give at most {MAX_PATCH_VALUES}"
            )

    @property
    def places(self) -> tuple[int, int]:
        """Number of rows and of columns of places."""
        top, left, bottom, right = self.pads
        reach = [d * (k - 1) + 1 for d, k in zip(self.dilations, self.kernel, strict=True)]
        padded = (self.height + top + bottom, self.width + left + right)
        rows, columns = (
            (size - each) // stride + 1
            for size, each, stride in zip(padded, reach, self.strides, strict=True)
        )
        return rows, columns

    @property
    def count(self) -> int:
        """Number of places."""
        rows, columns = self.places
        return rows * columns

    @property
    def inputs(self) -> int:
        """Number of values of the image."""
        return self.channels * self.height * self.width

    @property
    def patch_size(self) -> int:
        """Number of values under the kernel at one place."""
        return self.kernel[0] * self.kernel[1] * self.channels

    @property
    def is_padded(self) -> bool:
        """Return whether a patch can reach beyond the image."""
        return bool((self.index < 0).any())

    @cached_property
    def index(self) -> NDArray[np.intp]:
        """[places, patch_size]: the index in the image of each value of each patch; -1 beyond the
        image's edge."""
        (rows, columns), (tall, wide) = self.places, self.kernel
        row = np.arange(rows)[:, None] * self.strides[0] + np.arange(tall) * self.dilations[0]
        column = np.arange(columns)[:, None] * self.strides[1] + np.arange(wide) * self.dilations[1]
        row, column = row - self.pads[0], column - self.pads[1]
        pixel = np.where(
            ((row >= 0) & (row < self.height))[:, None, :, None]
            & ((column >= 0) & (column < self.width))[None, :, None, :],
            row[:, None, :, None] * self.width + column[None, :, None, :],
            -1,
        )[..., None]  # [rows, columns, tall, wide, 1]
        channel = np.arange(self.channels)
        if self.channels_first:
            place = pixel + channel * (self.height * self.width)
        else:
            place = pixel * self.channels + channel
        found = np.where(pixel < 0, -1, place)
        index: NDArray[np.intp] = found.reshape(self.count, self.patch_size).astype(np.intp)
        return index

    @cached_property
    def channel_of(self) -> NDArray[np.intp]:
        """[inputs]: the channel of each of the image's values."""
        pixels = self.height * self.width
        if self.channels_first:
            return np.repeat(np.arange(self.channels), pixels)
        return np.tile(np.arange(self.channels), pixels)

    def patches(self, values: NDArray[Any]) -> NDArray[Any]:
        """[…, inputs] -> […, places, patch_size].

        Without pads and dilations a row of a patch is contiguous in an image that is stored pixel
        by pixel. Two sliding windows then copy the patches, a few times faster than the index.
        """
        if not (any(self.pads) or self.channels_first) and self.dilations == (1, 1):
            rows, pixels = self.kernel
            down, along = self.strides
            image = values.reshape(*values.shape[:-1], self.height, self.width * self.channels)
            windows = sliding_window_view(image, (rows, pixels * self.channels), axis=(-2, -1))
            windows = windows[..., ::down, :: along * self.channels, :, :]
            return windows.reshape(*values.shape[:-1], self.count, self.patch_size)
        edge = np.zeros((*values.shape[:-1], 1), values.dtype)
        found: NDArray[Any] = np.concatenate([values, edge], axis=-1)[..., self.index]
        return found

    def each_place(self, channels: NDArray[Any]) -> NDArray[Any]:
        """Repeat one number per output channel for every place: [channels] -> [outputs]."""
        return np.tile(channels, self.count)

    def described(self) -> dict[str, Any]:
        """Return the geometry as JSON."""
        return {
            "channels": self.channels,
            "height": self.height,
            "width": self.width,
            "kernel": list(self.kernel),
            "strides": list(self.strides),
            "dilations": list(self.dilations),
            "pads": list(self.pads),
            "channels_first": self.channels_first,
        }


def described_convolution(metadata: dict[str, Any]) -> Convolution | None:
    """Return the convolution of a student's first layer from its metadata; None if it has none.

    Raises:
        UserError: the metadata does not describe a convolution.
    """
    said = metadata.get("convolution")
    if said is None:
        return None
    fields = Convolution.__dataclass_fields__
    if not isinstance(said, dict) or set(said) != set(fields):
        raise UserError(f"convolution is not an object of {', '.join(fields)}; distil it again")
    for name in ("kernel", "strides", "dilations", "pads"):
        if not isinstance(said[name], list):
            raise UserError(f"convolution.{name} is not a list; distil it again")
    return Convolution(**said)
