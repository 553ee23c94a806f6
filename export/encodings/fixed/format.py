"""The integer formats of a core's arithmetic, and the scales that fit them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.export.encodings.fixed import tanh as fixed_tanh
from sparsectl.export.encodings.fixed.bounds import Bounds
from sparsectl.export.encodings.fixed.matrix import Int
from sparsectl.policy.activations import Float64
from sparsectl.policy.graph import Layer

GREATEST_SCALE = 2.0**40
"""Values below its reciprocal count as 0."""


@dataclass(frozen=True)
class Format:
    """The integer formats of a core's arithmetic."""

    weight_limit: tuple[int, ...]
    """Greatest magnitude of a weight per layer: 127, 255 or 32767; the last is that of all
    others."""
    sum_bits: int
    """Bits of the accumulator, including its sign: 24 or 32."""
    shifts: tuple[int, ...]
    """Candidates for the shift from a sum to a value."""
    value_bits: tuple[int, ...] = (10, 11, 12, 13, 14, 15)
    """Candidates for the bits of a value without its sign; 15 fits int16_t."""
    cuts_off: bool = True
    """True if values are cut off at the greatest that fits; False if their scales leave room for
    every observation."""
    headroom: float = 1.25
    """Factor by which a hidden value may exceed the calibration's before it saturates."""
    bias_step: int = 1
    """Biases are multiples of it."""
    reads_upper: bool = False
    """True if products with a state take its upper byte alone."""

    def sum_scale(
        self, layer: Layer, weight: Float64, weight_limit: int, inputs: Bounds, shift: int
    ) -> Float64:
        """The largest scale at which weights fit and the sums of every observation do, on their
        way too.

        weight: the layer's for the whole numbers that it reads, whose bounds are `inputs`.
        shift: from a sum to a value.
        """
        inputs = inputs.with_zero
        magnitude = inputs.magnitude.astype(np.float64)
        rounding = 0.5 * (weight != 0) @ magnitude + 2.0**shift + self.bias_step
        room = np.maximum(2.0 ** (self.sum_bits - 1) - rounding, 1.0)
        positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
        highest = positive @ inputs.highest + negative @ inputs.lowest + layer.bias
        lowest = positive @ inputs.lowest + negative @ inputs.highest + layer.bias
        terms = np.maximum(np.abs(highest), np.abs(lowest))
        if layer.activation == "tanh":
            terms += 2.0 ** -(fixed_tanh.INPUT_BITS + 1)  # what rounds the argument is in the bias
        largest = np.abs(weight).max(axis=1)
        return np.minimum(fitting(largest, weight_limit), fitting(terms, room))

    def check(self, layer: Layer, running: Bounds) -> None:
        """Raises:
        UserError: the layer's accumulators could overflow, whatever scale is taken.
        """
        if running.magnitude.max() >= 2 ** (self.sum_bits - 1):
            row = int(running.magnitude.argmax())
            raise UserError(
                f"neuron {row} of a layer of {layer.outputs} x {layer.inputs} has a bias of "
                f"{layer.bias[row]:g} and weights whose sum leaves {self.sum_bits} bits in "
                "fixed point; choose a float32 encoding"
            )

    def in_steps(self, bias: Int) -> Int:
        """Return biases that are multiples of `bias_step`."""
        return np.asarray((bias + self.bias_step // 2) // self.bias_step * self.bias_step, np.int64)


def fitting(magnitude: Float64, limit: float | Float64) -> Float64:
    """Return the largest scale at which the magnitude does not exceed `limit`."""
    with np.errstate(divide="ignore"):
        return np.minimum(limit / magnitude, GREATEST_SCALE)


def power_of_two(scale: Float64) -> Float64:
    """Return the largest power of two up to `scale`."""
    return np.asarray(np.exp2(np.floor(np.log2(scale))), np.float64)


def exponent_of(scale: Float64) -> Int:
    """Return the exponents of powers of two."""
    return np.rint(np.log2(scale)).astype(np.int64)
