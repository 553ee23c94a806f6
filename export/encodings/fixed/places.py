"""Scales of convolutions in fixed point: one a channel, the same at every place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.export.encodings.fixed.bounds import Bounds
from sparsectl.export.encodings.fixed.policy import FixedLayer
from sparsectl.policy.activations import Float64
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.graph import Layer, PolicyGraph


def require_scales(graph: PolicyGraph) -> None:
    """Check that no convolution reads neurons that have scales of their own.

    Raises:
        UserError: a convolution reads neurons of a layer of weights, each of which has its own
            scale.
    """
    for before, layer in zip(graph.layers, graph.layers[1:], strict=False):
        if layer.convolution is None:
            continue
        read = before.convolution
        if read is None or layer.convolution.channels_first:
            raise UserError(
                "a convolution reads the neurons of a fully connected layer, each of which has its "
                "own scale in fixed point; choose a float32 encoding"
            )


def of_channels(graph: PolicyGraph, ranges: Sequence[Float64]) -> list[Float64]:
    """The greatest magnitudes of the observation and of each hidden layer's values, where a
    convolution takes or makes them the greatest of a channel for all its pixels."""
    found = list(ranges)
    for index, layer in enumerate(graph.layers):
        if layer.convolution is None:
            continue
        channel = layer.convolution.channel_of
        greatest = np.zeros(layer.convolution.channels)
        np.maximum.at(greatest, channel, found[index])
        found[index] = greatest[channel]
        if index + 1 < len(found):
            made = found[index + 1].reshape(-1, len(layer.bias)).max(axis=0)
            found[index + 1] = layer.convolution.each_place(made)
    return found


def patch(convolution: Convolution, scale: Float64, inputs: Bounds) -> tuple[Float64, Bounds]:
    """Return the scales of a patch's values, and the bounds of each at any place."""
    index, beyond = convolution.index, convolution.index < 0
    scales = np.empty(convolution.channels)
    scales[convolution.channel_of] = scale
    lowest = np.where(beyond, 0, inputs.lowest[index]).min(axis=0)
    highest = np.where(beyond, 0, inputs.highest[index]).max(axis=0)
    channel = np.arange(convolution.patch_size) % convolution.channels
    return scales[channel], Bounds(lowest, highest)


def each_place(
    layer: Layer, fixed: FixedLayer, values: Float64, bounds: Bounds
) -> tuple[FixedLayer, Float64, Bounds]:
    """Return the layer, scales and bounds for all places of a convolution, given those of one."""
    convolution = layer.convolution
    if convolution is None:
        raise ValueError("it is not a convolution")
    spread = convolution.each_place
    whole = replace(
        fixed,
        layer=layer,
        exponent=spread(fixed.exponent),
        value_exponent=spread(fixed.value_exponent),
        greatest=spread(fixed.greatest),
        scale=spread(fixed.scale),
    )
    return whole, spread(values), Bounds(spread(bounds.lowest), spread(bounds.highest))
