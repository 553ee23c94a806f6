"""One layer of a policy: weights, biases and an activation with its parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsectl.common.errors import UserError
from sparsectl.export.activations import ACTIVATIONS, Float32, Float64

MAX_WIDTH = 16_384
"""Neurons a layer at most: their values alone take 64 KB of RAM, as much as most chips have. An
index of 16 bits can name each."""


@dataclass(frozen=True, eq=False)
class Layer:
    """activation(weight @ x + bias), float32; the arrays are read-only copies.

    weight: [out, in]; bias: [out]; a weight of 0 is a weight that is not there. parameters are the
    activation's (alpha, limits), rounded to float32; none given takes its defaults.
    """

    weight: Float32
    bias: Float32
    activation: str = "identity"
    parameters: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _frozen(self.weight, 2, "weights"))
        object.__setattr__(self, "bias", _frozen(self.bias, 1, "biases"))
        outputs, inputs = self.weight.shape
        if not (1 <= inputs <= MAX_WIDTH and 1 <= outputs <= MAX_WIDTH):
            memory = 4 * max(outputs, inputs)
            raise UserError(
                f"a layer of {outputs} x {inputs} weights, whose values take {memory:,} bytes of "
                f"RAM; give 1 to {MAX_WIDTH} neurons a layer"
            )
        if self.bias.shape != (outputs,):
            raise UserError(f"{self.bias.size} biases for {outputs} neurons; give one a neuron")
        if self.activation not in ACTIVATIONS:
            raise UserError(
                f"activation {self.activation!r} is not known; use one of {', '.join(ACTIVATIONS)}"
            )
        object.__setattr__(self, "parameters", self._parameters())

    def _parameters(self) -> tuple[float, ...]:
        wanted = ACTIVATIONS[self.activation].parameters
        given = self.parameters or [default for _, default in wanted]
        with np.errstate(over="ignore"):
            values = tuple(float(np.float32(value)) + 0.0 for value in given)
        if len(values) != len(wanted) or not all(map(math.isfinite, values)):
            names = ", ".join(name for name, _ in wanted) or "none"
            raise UserError(
                f"activation {self.activation!r} has the parameters {list(self.parameters)[:9]}; "
                f"give finite numbers for: {names}"
            )
        return values

    @property
    def inputs(self) -> int:
        return int(self.weight.shape[1])

    @property
    def outputs(self) -> int:
        return int(self.weight.shape[0])

    @property
    def results(self) -> int:
        """Numbers after the activation: argmax gives 1, all others one a neuron."""
        return 1 if ACTIVATIONS[self.activation].gives_one else self.outputs

    @property
    def is_approximate(self) -> bool:
        """Whether the activation is an approximation, beyond rounding a sum or product."""
        activation = ACTIVATIONS[self.activation]
        return activation.absolute_error > 0 or activation.relative_error > 0

    @cached_property
    def kept_weights(self) -> int:
        return int(np.count_nonzero(self.weight))

    @cached_property
    def _columns(self) -> list[tuple[int, NDArray[np.intp] | slice, Float32]]:
        """(column, its rows that have a weight, those weights [rows, 1]), columns ascending."""
        columns: list[tuple[int, NDArray[np.intp] | slice, Float32]] = []
        for column in range(self.inputs):
            weight = self.weight[:, column]
            rows = np.flatnonzero(weight)
            if rows.size == self.outputs:
                columns.append((column, slice(None), weight[:, None].copy()))
            elif rows.size:
                columns.append((column, rows, weight[rows, None]))
        return columns

    def forward(self, x: Float32) -> Float32:
        """x [in, batch] -> [out, batch]: the bias first, then the columns in ascending order."""
        total = np.repeat(self.bias[:, None], x.shape[1], axis=1)
        for column, rows, weight in self._columns:
            total[rows] += weight * x[column]
        return self.activate(total)

    def activate(self, x: Float32) -> Float32:
        """The activation alone, as the C computes it; the neurons (or some) along axis 0."""
        return ACTIVATIONS[self.activation].forward(x, *self.parameters)

    def activate_exact(self, x: Float64) -> Float64:
        """The activation alone in float64; the neurons along axis 0."""
        return ACTIVATIONS[self.activation].exact(x, *self.parameters)

    def activation_rounding(self, x: Float64, error: Float64) -> Float64:
        """How far `activate` may be off where x may be off by `error`; the neurons along axis 0."""
        return ACTIVATIONS[self.activation].rounding(x, error, *self.parameters)


def _frozen(values: ArrayLike, dimensions: int, what: str) -> Float32:
    """A read-only float32 copy with -0 made 0, so that equal controllers have equal bytes."""
    with np.errstate(over="ignore"):
        array: Float32 = np.array(values, dtype=np.float32, order="C")
    if array.ndim != dimensions:
        raise UserError(f"{what} of shape {list(array.shape)}; give {dimensions} dimensions")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = ", ".join(str(i) for i in bad[0])
        raise UserError(
            f"{len(bad)} of the {what} are not finite (the first: {array[tuple(bad[0])]} at "
            f"[{place}]); train again or load an earlier checkpoint"
        )
    array += np.float32(0)
    array.flags.writeable = False
    return array
