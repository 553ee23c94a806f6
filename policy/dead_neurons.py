"""Neurons that cannot matter: those nobody reads, and those without inputs, which are constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.policy import convolution_passes
from sparsectl.policy.activations import Float32
from sparsectl.policy.layer import Layer

Precision = type[np.float32] | type[np.float64]


def fold_constants(layers: Sequence[Layer], precision: Precision = np.float64) -> list[Layer]:
    """Add activation(bias) of each neuron without inputs to the biases that it feeds, and set its
    outgoing weights to 0. All shapes stay.

    What feeds a convolution stays as it is, since the convolution's border reads zeros instead.

    precision: of the products and their sum; the bias is float32 again.
    """
    folded = [layers[0]]
    for layer in layers[1:]:
        before = folded[-1]
        if layer.convolution:
            folded.append(layer)
            continue
        constant = ~np.any(before.weight, axis=1)
        if before.convolution:
            constant = before.convolution.each_place(constant)
        constant &= before.result_of >= 0
        value = np.zeros(before.results, np.float32)
        if before.convolution and constant.any():
            value[constant] = convolution_passes.constants(before)[constant]
        elif constant.any():
            alone = before.neurons(constant)
            with np.errstate(all="ignore"):
                value[before.result_of[constant]] = alone.activate(alone.bias)
        gone = np.zeros(before.results, bool)
        gone[before.result_of[constant]] = True
        gone &= np.isfinite(value) & np.any(layer.weight, axis=0)
        outgoing: NDArray[Any] = layer.weight[:, gone].astype(precision)
        bias = layer.bias + outgoing @ value[gone]
        weight = np.where(gone, np.float32(0), layer.weight)
        folded.append(replace(layer, weight=weight, bias=_float32(bias)))
    return folded


def without_dead_weights(layers: Sequence[Layer]) -> list[Layer]:
    """Set the weights that cannot matter to 0, until none is left. All shapes stay.

    These are the weights into neurons nobody reads, and those out of neurons without inputs, which
    `fold_constants` replaces in float32. The biases of both are 0 in the result. Every activation
    is one of each neuron alone, and only the first layer may be a convolution.
    """
    current = list(layers)
    while True:
        folded = fold_constants(current, np.float32)
        cut = [_without_unread(*pair) for pair in zip(folded, folded[1:], strict=False)]
        before, current = current, [*cut, folded[-1]]
        pairs = zip(before, current, strict=True)
        if all(np.count_nonzero(a.weight) == np.count_nonzero(b.weight) for a, b in pairs):
            return current


def _without_unread(layer: Layer, after: Layer) -> Layer:
    """Return the layer without weights into neurons that `after` does not read, and without the
    biases of these and of neurons without inputs."""
    read = np.any(after.weight, axis=0).reshape(-1, len(layer.bias)).any(axis=0)
    weight = np.where(read[:, None], layer.weight, np.float32(0))
    return replace(layer, weight=weight, bias=np.where(read, layer.bias, np.float32(0)))


def _float32(values: NDArray[Any]) -> Float32:
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float32)
