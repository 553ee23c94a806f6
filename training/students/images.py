"""Students for images: their first layer is one convolution, whose weights all places share.

Its results are ordered pixel by pixel, with all channels of each. A vector over a layer's outputs
is therefore repeated `repeats` times over the next layer's inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sparsectl.common.errors import UserError
from sparsectl.policy.convolution import Convolution
from sparsectl.training.environments.image_layout import check_channels_last

KERNEL = (3, 3)


def convolution_of(image: tuple[int, int, int] | None, channels: int) -> Convolution | None:
    """Return the convolution of a student for such images; None: it has none.

    Args:
        image: [height, width, channels] of the observation; None: it is not an image.
        channels: number of output channels; 0: a student without a convolution.

    Raises:
        UserError: the image is smaller than the kernel, or its channels seem to come first.
    """
    if image is None or not channels:
        return None
    check_channels_last(image, "give --channels 0, which is a student without a convolution")
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
    """Return the number of inputs of the first layer and of the results of each layer."""
    seen = () if convolution is None else (convolution.count * channels,)
    return (observations, *seen, *after)


def matrices(sizes: Sequence[int], convolution: Convolution | None) -> list[tuple[int, int]]:
    """Return inputs and outputs of each layer's weights; of a convolution those of one place."""
    pairs = list(zip(sizes, sizes[1:], strict=False))
    if convolution is not None:
        pairs[0] = convolution.patch_size, sizes[1] // convolution.count
    return pairs


def patches(images: Tensor, convolution: Convolution) -> Tensor:
    """Return patches: [..., B, height * width * channels] -> [..., B * places, patch]. The
    convolution has no pads or dilations.

    A row of a patch is contiguous in the image, so two sliding windows extract all of them, in a
    third of the time of a gather of single values.
    """
    rows, pixels = convolution.kernel
    down, along = convolution.strides
    channels = convolution.channels
    image = images.reshape(*images.shape[:-1], convolution.height, convolution.width * channels)
    found = image.unfold(-2, rows, down).unfold(-2, pixels * channels, along * channels)
    return found.reshape(*images.shape[:-2], -1, convolution.patch_size)


def repeats(before: NDArray[Any], after: NDArray[Any]) -> int:
    """Return at how many places `before` is applied, given the weights of the next layer."""
    return int(after.shape[1] // before.shape[0])


def used_outputs(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which neurons of the layer `before`, or which channels at any place, the next layer's
    mask reads: [outputs]."""
    columns = after.reshape(len(after) * repeats(before, after), len(before))
    found: NDArray[np.bool_] = np.logical_or.reduce(columns, axis=0)
    return found
