"""The graph passes on convolutions, computed in float64 and rounded once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.layer import Layer


def folded(layer: Layer, scale: Float64, offset: Float64, is_far: bool) -> tuple[Layer, ...] | None:
    """Return layers that take x in place of (x - offset) / scale; None if the pixels of a channel
    have different scales or offsets.

    scale, offset: [inputs]. is_far: whether the offsets are too large for the biases to absorb
    beside the weights' sums. If they are, or if the kernel reaches beyond the image, where a patch
    is 0, a convolution of one pixel subtracts them first.
    """
    convolution = layer.convolution
    if convolution is None:
        raise ValueError("it is not a convolution")
    scales, offsets = (_of_channels(convolution, each) for each in (scale, offset))
    if scales is None or offsets is None:
        return None
    patch = _patch_channels(convolution)
    weight = layer.weight.astype(np.float64)
    if offsets.any() and (is_far or convolution.is_padded):
        pixels = replace(
            convolution, kernel=(1, 1), strides=(1, 1), dilations=(1, 1), pads=(0, 0, 0, 0)
        )
        centring = Layer(
            _float32(np.diag(1 / scales)), _float32(-offsets / scales), convolution=pixels
        )
        return centring, replace(layer, convolution=replace(convolution, channels_first=False))
    bias = layer.bias - (weight / scales[patch]) @ offsets[patch]
    return (replace(layer, weight=_float32(weight / scales[patch]), bias=_float32(bias)),)


def constants(layer: Layer) -> Float32:
    """[outputs]: the results if all weights were 0."""
    bias = layer.bias if layer.convolution is None else layer.convolution.each_place(layer.bias)
    with np.errstate(all="ignore"):
        return layer.activate(bias)


def without_unused_channels(layer: Layer, after: Layer) -> tuple[Layer, Layer]:
    """Return both layers without the output channels of `layer`, a convolution, that `after` reads
    at no place. Both are unchanged if `layer` is no convolution, or if none of it is read."""
    channels = len(layer.bias)
    reader = after.convolution
    if layer.convolution is None or (
        reader is not None and (reader.channels_first or reader.channels != channels)
    ):
        return layer, after
    used = np.any(after.weight, axis=0).reshape(-1, channels).any(axis=0)
    if used.all() or not used.any():
        return layer, after
    weight = after.weight.reshape(len(after.weight), -1, channels)[:, :, used]
    reading = reader and replace(reader, channels=int(used.sum()))
    slimmer = replace(layer, weight=layer.weight[used], bias=layer.bias[used])
    return slimmer, replace(
        after, weight=weight.reshape(len(after.weight), -1), convolution=reading
    )


def _of_channels(convolution: Convolution, values: Float64) -> Float64 | None:
    """[inputs] -> [channels]; None if the pixels of a channel differ."""
    found = np.empty(convolution.channels)
    found[convolution.channel_of] = values
    return found if np.array_equal(found[convolution.channel_of], values) else None


def _patch_channels(convolution: Convolution) -> np.ndarray:
    """[patch_size]: the channel of each value of a patch."""
    return np.arange(convolution.patch_size) % convolution.channels


def _float32(values: np.ndarray) -> Float32:
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float32)
