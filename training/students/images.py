"""Students that see images: their first layer is one convolution, whose weights every place shares.

Values behind it come pixel by pixel, all channels of each. So whatever holds for a layer's outputs
one after another holds for the next layer's inputs too, channel by channel, `repeats` times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sparsectl.common.errors import UserError
from sparsectl.policy.convolution import Convolution

KERNEL = (3, 3)


def convolution_of(image: tuple[int, int, int] | None, channels: int) -> Convolution | None:
    """The convolution of a student that sees such images; None: it has none.

    Args:
        image: [height, width, channels] of what is observed; None: it is no image.
        channels: that come out; 0: a student without a convolution.

    Raises:
        UserError: the image is smaller than the kernel.
    """
    if image is None or not channels:
        return None
    height, width, planes = image
    if height < KERNEL[0] or width < KERNEL[1]:
        raise UserError(
            f"channels is {channels}, but the images of {height} x {width} are smaller than the "
            "kernel of 3 x 3; give --channels 0, which is a student without a convolution"
        )
    return Convolution(planes, height, width, KERNEL)


def widths(
    observations: int, convolution: Convolution | None, channels: int, after: Sequence[int]
) -> tuple[int, ...]:
    """Values before the first layer and behind each, the convolution's among them."""
    seen = () if convolution is None else (convolution.count * channels,)
    return (observations, *seen, *after)


def matrices(sizes: Sequence[int], convolution: Convolution | None) -> list[tuple[int, int]]:
    """Inputs and outputs of each layer's weights; of a convolution those of one place."""
    pairs = list(zip(sizes, sizes[1:], strict=False))
    if convolution is not None:
        pairs[0] = convolution.patch_size, sizes[1] // convolution.count
    return pairs


def patches(images: Tensor, convolution: Convolution) -> Tensor:
    """[..., B, height * width * channels] -> [..., B * places, patch], of a convolution without
    pads or dilations.

    A row of a patch is one piece of the image, so that two windows find all of them, in a third of
    the time that a gather of single values takes.
    """
    rows, pixels = convolution.kernel
    down, along = convolution.strides
    channels = convolution.channels
    image = images.reshape(*images.shape[:-1], convolution.height, convolution.width * channels)
    found = image.unfold(-2, rows, down).unfold(-2, pixels * channels, along * channels)
    return found.reshape(*images.shape[:-2], -1, convolution.patch_size)


def repeats(before: NDArray[Any], after: NDArray[Any]) -> int:
    """Places at which the layer with weights `before` is applied, as the next one's inputs show."""
    return int(after.shape[1] // before.shape[0])


def used_outputs(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[outputs] of the layer `before`: which of its neurons, or channels at any place, have a
    weight in the mask of the layer behind it."""
    columns = after.reshape(len(after) * repeats(before, after), len(before))
    found: NDArray[np.bool_] = np.logical_or.reduce(columns, axis=0)
    return found
