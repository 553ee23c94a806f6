"""Fixed point: a graph in integers, and its exact reference.

A value v is stored as round(v s). Each observation and each neuron has its own scale s, which is
absorbed into the weights that read it. A sum becomes the neuron's value by a shift that all neurons
share; values beyond `limit` saturate. `export.encodings.fixed.scales` chooses the scales.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sparsectl.export.encodings.fixed import tanh as fixed_tanh
from sparsectl.export.encodings.fixed.float_steps import FloatStep
from sparsectl.export.encodings.fixed.matrix import FixedMatrix, Int
from sparsectl.export.encodings.fixed.steps import Step
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.graph import Layer, PolicyGraph, in_parts

LARGE = 4096
"""Number of weights from which float64 is faster."""
EXACT_BELOW = 2.0**53
"""Integers up to this are exact in float64, and so are their sums in any order."""

SHIFTED = ("relu", "identity")
"""Activations of hidden layers whose values are shifted sums."""


@dataclass(frozen=True)
class FixedLayer:
    """A layer in integers."""

    layer: Layer
    weight: Int
    """[out, in]; of a convolution [output channels, patch_size]."""
    bias: Int
    """[out], of a convolution [output channels], at the sums' scale; if the sum is shifted next, it
    includes the half that rounds."""
    exponent: Int
    """[out]: a sum is round(value 2^exponent); 0 where the sum is only shifted."""
    value_exponent: Int
    """[results]: the same for a hidden layer's values that come from a float activation."""
    integer: bool
    """True if the activation is computed in integers (relu, identity, tanh); False if in float."""
    limit: int
    """The magnitude at which a hidden layer's values saturate."""
    greatest: Int
    """[out]: the greatest magnitude of a shifted sum before saturation."""
    scale: Float64
    """[out]: a sum is round(value times scale)."""
    cell_matrices: tuple[FixedMatrix, ...] = ()
    """The matrices of a layer with recurrent units (`fixed.cell_scales`), in place of weight and
    bias."""
    steps: tuple[Step, ...] = ()
    """Compute values from the sums of `cell_matrices`; in the last layer, `ends` do."""
    ends: tuple[FloatStep, ...] = ()

    @property
    def has_cells(self) -> bool:
        """Return whether its values are made by `steps` or `ends`."""
        return bool(self.cell_matrices or self.steps or self.ends)

    def sums(self, x: Int) -> Int:
        """Return weight x + bias, [out, batch], for x [in, batch]."""
        convolution = self.layer.convolution
        if convolution is None:
            return _product(self.weight, x) + self.bias[:, None]
        patches = convolution.patches(x.T).reshape(-1, convolution.patch_size)
        found = _product(self.weight, patches.T).T + self.bias
        return np.asarray(found.reshape(x.shape[1], -1).T, np.int64)


@dataclass(frozen=True)
class FixedPolicy:
    """A graph in integers."""

    graph: PolicyGraph
    shift: int
    input_exponent: Int
    """[in]: an observation is stored as round(value 2^exponent)."""
    input_limit: Int
    """[in]: the magnitude at which it saturates."""
    layers: tuple[FixedLayer, ...]

    def forward(self, observation: ArrayLike) -> Float32:
        """Return the action as the C computes it; NaN in an observation gives NaN in every action.

        Shapes as `PolicyGraph.forward`.
        """
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            given = np.asarray(observation, np.float32)
            parts = in_parts(self.graph.batch(given), self.graph.widest)
            action = np.concatenate([self._forward(part) for part in parts])
        return action[0] if given.ndim == 1 else action

    def mean_square_error(self, observations: Float32, exact: Float64) -> float:
        """Return the mean square difference of the actions from the graph's own in float64 on the
        same observations."""
        return float(np.mean((self.forward(observations).astype(np.float64) - exact) ** 2))

    def _forward(self, batch: Float32) -> Float32:
        x = to_fixed(batch.T, self.input_exponent, self.input_limit[:, None])
        for layer in self.layers[:-1]:
            if layer.has_cells:
                x = self._cell_values(layer, x)
            else:
                x = self._values(layer, layer.sums(x))
        last = self.layers[-1]
        if last.ends:
            action = self.graph.outputs(_floats(last, x)).T
        else:
            action = self._action(last, last.sums(x)).T
        action[np.isnan(batch).any(axis=1)] = np.nan
        return action

    def _cell_values(self, layer: FixedLayer, x: Int) -> Int:
        """Return the values of a hidden layer with recurrent units, each at its place."""
        shifted = [each for each in layer.cell_matrices if each.is_shifted]
        parts = {each.row: each.shifted(x, self.shift) for each in shifted}
        sums = _cell_sums(layer, x)
        parts |= {step.row: step.values(sums, x) for step in layer.steps}
        return np.concatenate([parts[row] for row in sorted(parts)])

    def _values(self, layer: FixedLayer, sums: Int) -> Int:
        """Compute a hidden layer's values from its sums."""
        if not layer.integer:
            values = layer.layer.activate(to_float(sums, layer.exponent))
            return to_fixed(values, layer.value_exponent, layer.limit)
        if layer.layer.activation == "tanh":
            return _tanh(sums, layer.exponent)
        low = 0 if layer.layer.activation == "relu" else -layer.limit
        return np.asarray(np.clip(sums >> self.shift, low, layer.limit), np.int64)

    def _action(self, layer: FixedLayer, sums: Int) -> Float32:
        if layer.integer:
            values = _tanh(sums, layer.exponent).astype(np.float32)
            return self.graph.outputs(values * np.float32(2.0**-fixed_tanh.OUTPUT_BITS))
        return self.graph.outputs(layer.layer.activate(to_float(sums, layer.exponent)))


def _product(weight: Int, x: Int) -> Int:
    """Compute weight @ x; large products in float64, where that is exact and much faster."""
    reach = float(np.abs(weight).max(initial=0)) * float(np.abs(x).max(initial=0))
    if weight.size < LARGE or reach * weight.shape[1] >= EXACT_BELOW:
        return np.asarray(weight @ x, np.int64)
    return np.asarray(weight.astype(np.float64) @ x.astype(np.float64), np.int64)


def _cell_sums(layer: FixedLayer, x: Int) -> Int:
    """Return the sums that are not shifted, [sums, batch]."""
    found = [each.sums(x) for each in layer.cell_matrices if not each.is_shifted]
    return np.concatenate([*found, np.zeros((0, x.shape[1]), np.int64)])


def _floats(layer: FixedLayer, x: Int) -> Float32:
    """Return the results of the last layer, in order."""
    sums = _cell_sums(layer, x)
    parts = {step.row: step.floats(sums, x) for step in layer.ends}
    return np.concatenate([parts[row] for row in sorted(parts)])


def matrices(policy: FixedPolicy, index: int) -> tuple[FixedMatrix, ...]:
    """Return the matrices of a layer: one, or several if it has recurrent units."""
    layer = policy.layers[index]
    if layer.has_cells:
        return layer.cell_matrices
    relu = layer.layer.activation == "relu"
    shifted = is_shifted(policy, index)
    one = FixedMatrix(
        f"layer{index}", layer.weight, layer.bias, shifted, relu, layer.limit, layer.greatest
    )
    return (one,)


def is_shifted(policy: FixedPolicy, index: int) -> bool:
    """Return whether a layer's values are its shifted sums."""
    hidden = index < len(policy.layers) - 1 and not policy.layers[index].has_cells
    return hidden and policy.layers[index].layer.activation in SHIFTED


def to_fixed(values: Float32, exponent: Int, limit: int | Int) -> Int:
    """Return round(value 2^exponent), halves away from zero, saturated at ±limit; NaN gives ±limit.

    values: [n, batch]; exponent: [n].
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.abs(values.astype(np.float64)) * np.exp2(exponent.astype(np.float64))[:, None]
        rounded = np.minimum(np.floor(scaled + 0.5), limit)
    magnitude = np.where(np.isnan(rounded), limit, rounded).astype(np.int64)
    return np.where(np.signbit(values), -magnitude, magnitude)


def to_float(sums: Int, exponent: Int) -> Float32:
    """Convert a sum to float32, rounded once, times its scale's reciprocal."""
    scale = np.exp2(-exponent[:, None].astype(np.float32))
    return np.asarray(sums.astype(np.float32) * scale, np.float32)


def _tanh(sums: Int, exponent: Int) -> Int:
    return fixed_tanh.fixed_tanh(sums >> (exponent - fixed_tanh.INPUT_BITS)[:, None])
