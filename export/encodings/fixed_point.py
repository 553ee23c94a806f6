"""Fixed point: a graph as whole numbers, and its exact reference.

A value v stands as round(v s). Each observation and each neuron has its own scale s, taken up into
the weights that read it. A row of weights has the largest scale at which the weights fit their
bits and no sum can leave its accumulator, whatever the observation. As relu(a z) = a relu(z), a
hidden neuron's scale may be any number; that of an observation, of what tanh or a float
activation takes, and of what it gives is a power of two, so that a shift does.

A sum becomes the neuron's value by a shift that is the same for all. Values over `limit` are cut
off; scales are chosen on calibration observations so that there none is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from export.activations import Float32, Float64
from export.encodings import fixed_tanh
from export.graph import Layer, PolicyGraph

Int = NDArray[np.int64]

HEADROOM = 1.25
"""How far beyond the calibration observations a value may go before it is cut off."""
SHIFTED = ("relu", "identity")
"""Activations whose hidden values are shifted sums."""
_SCALES_TRIED = 64
GREATEST_SCALE = 2.0**40
"""What is smaller than its reciprocal counts as nothing."""


@dataclass(frozen=True)
class Format:
    """What a core's arithmetic takes."""

    weight_limit: tuple[int, ...]
    """Greatest magnitude of a weight, a layer: 127, 255 or 32767; the last counts for the rest."""
    sum_bits: int
    """Of the accumulator, its sign with it: 24 or 32."""
    shifts: tuple[int, ...]
    """From a sum to a value: what may be chosen from."""
    value_bits: tuple[int, ...] = (10, 11, 12, 13, 14, 15)
    """Of a value without its sign: what may be chosen from; 15 fits int16_t."""


@dataclass(frozen=True)
class FixedLayer:
    """A layer in whole numbers."""

    layer: Layer
    weight: Int
    """[out, in]."""
    bias: Int
    """[out], at the sums' scale; where the sum is shifted next it holds the rounding half too."""
    exponent: Int
    """[out]: a sum is round(value 2^exponent); 0 where the sum is only shifted."""
    value_exponent: Int
    """[out]: the same of a hidden layer's values where they come from a float activation."""
    integer: bool
    """Whether the activation is computed in whole numbers (relu, identity, tanh) or in float."""
    greatest: Int
    """[out]: the greatest magnitude a shifted sum can have before it is cut off."""


@dataclass(frozen=True)
class FixedPolicy:
    """A graph in whole numbers."""

    graph: PolicyGraph
    shift: int
    limit: int
    input_exponent: Int
    """[in]: an observation stands as round(value 2^exponent)."""
    input_limit: Int
    """[in]: where it is cut off."""
    layers: tuple[FixedLayer, ...]

    def forward(self, observation: ArrayLike) -> Float32:
        """The action, as the C computes it; NaN in an observation gives NaN in every action.

        Shapes as `PolicyGraph.forward`.
        """
        given = np.asarray(observation, np.float32)
        batch = self.graph.batch(given)
        x = to_fixed(batch.T, self.input_exponent, self.input_limit[:, None])
        for layer in self.layers[:-1]:
            x = self._values(layer, layer.weight @ x + layer.bias[:, None])
        last = self.layers[-1]
        action = self._action(last, last.weight @ x + last.bias[:, None]).T
        action[np.isnan(batch).any(axis=1)] = np.nan
        return action[0] if given.ndim == 1 else action

    def _values(self, layer: FixedLayer, sums: Int) -> Int:
        """A hidden layer's values from its sums."""
        if not layer.integer:
            values = layer.layer.activate(to_float(sums, layer.exponent))
            return to_fixed(values, layer.value_exponent, self.limit)
        if layer.layer.activation == "tanh":
            return _tanh(sums, layer.exponent)
        low = 0 if layer.layer.activation == "relu" else -self.limit
        return np.asarray(np.clip(sums >> self.shift, low, self.limit), np.int64)

    def _action(self, layer: FixedLayer, sums: Int) -> Float32:
        if layer.integer:
            values = _tanh(sums, layer.exponent).astype(np.float32)
            return self.graph.outputs(values * np.float32(2.0**-fixed_tanh.OUTPUT_BITS))
        return self.graph.outputs(layer.layer.activate(to_float(sums, layer.exponent)))


def to_fixed(values: Float32, exponent: Int, limit: int | Int) -> Int:
    """round(value 2^exponent), halves away from zero, cut off at ±limit; NaN gives ±limit.

    values: [n, batch]; exponent: [n].
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.abs(values.astype(np.float64)) * np.exp2(exponent.astype(np.float64))[:, None]
        rounded = np.minimum(np.floor(scaled + 0.5), limit)
    magnitude = np.where(np.isnan(rounded), limit, rounded).astype(np.int64)
    return np.where(np.signbit(values), -magnitude, magnitude)


def to_float(sums: Int, exponent: Int) -> Float32:
    """A sum as float32, rounded once, times its scale's reciprocal."""
    scale = np.exp2(-exponent[:, None].astype(np.float32))
    return np.asarray(sums.astype(np.float32) * scale, np.float32)


def _tanh(sums: Int, exponent: Int) -> Int:
    return fixed_tanh.fixed_tanh(sums >> (exponent - fixed_tanh.INPUT_BITS)[:, None])


def fixed_policy(graph: PolicyGraph, observations: Float32, form: Format) -> FixedPolicy:
    """The graph in whole numbers; of the shifts and limits that the format allows, those with the
    least error over `observations`."""
    ranges = _ranges(graph, observations)
    exact = graph.forward_exact(observations)
    found = []
    for shift in form.shifts:
        for bits in form.value_bits:
            policy = _Scaling(form, shift, 2**bits - 1).policy(graph, ranges)
            error = np.mean((policy.forward(observations).astype(np.float64) - exact) ** 2)
            found.append((float(error), policy))
    return min(found, key=lambda each: each[0])[1]


def _ranges(graph: PolicyGraph, observations: Float32) -> list[Float64]:
    """Greatest magnitude of each observation and of each hidden layer's values, with headroom."""
    x = observations.astype(np.float64).T
    ranges = [x]
    for layer in graph.layers[:-1]:
        x = layer.activate_exact(layer.weight.astype(np.float64) @ x + layer.bias[:, None])
        ranges.append(x)
    return [HEADROOM * np.abs(values).max(axis=1) for values in ranges]


@dataclass(frozen=True)
class _Bounds:
    """Of the values that a layer takes, whatever the observation."""

    lowest: Int
    highest: Int

    @property
    def magnitude(self) -> Int:
        return np.maximum(-self.lowest, self.highest)


@dataclass(frozen=True)
class _Scaling:
    """The choice of scales for one shift and limit."""

    form: Format
    shift: int
    limit: int

    def policy(self, graph: PolicyGraph, ranges: Sequence[Float64]) -> FixedPolicy:
        """ranges: as `_ranges` gives them."""
        scale = _power_of_two(_fitting(ranges[0], self.limit))
        greatest = np.clip(np.ceil(ranges[0] * scale), 1, self.limit).astype(np.int64)
        exponent, bounds = _exponent(scale), _Bounds(-greatest, greatest)
        layers = []
        limits = self.form.weight_limit
        for index, (layer, wanted) in enumerate(
            zip(graph.layers, [*ranges[1:], None], strict=True)
        ):
            limit = limits[min(index, len(limits) - 1)]
            fixed, scale, bounds = self._layer(layer, limit, scale, bounds, wanted)
            layers.append(fixed)
        return FixedPolicy(graph, self.shift, self.limit, exponent, greatest, tuple(layers))

    def _layer(
        self,
        layer: Layer,
        weight_limit: int,
        scale: Float64,
        inputs: _Bounds,
        wanted: Float64 | None,
    ) -> tuple[FixedLayer, Float64, _Bounds]:
        """The layer, its values' scales and their bounds. wanted: the values' range; None: the
        last layer."""
        shifted = wanted is not None and layer.activation in SHIFTED
        sums = self._sum_scale(layer, layer.weight / scale, weight_limit, inputs)
        if wanted is not None and shifted:
            sums = np.minimum(sums, _fitting(wanted, self.limit) * 2.0**self.shift)
            sums = _nearest_to_whole(layer.weight / scale, sums, inputs)
        else:
            sums = _power_of_two(sums)
        weight = np.rint(layer.weight / scale * sums[:, None]).astype(np.int64)
        is_tanh = layer.activation == "tanh" and bool(np.all(sums >= 2.0**fixed_tanh.INPUT_BITS))
        bias = np.rint(layer.bias * sums).astype(np.int64)
        if shifted:
            bias += 1 << (self.shift - 1)
        elif is_tanh:
            bias += _exponent_shift(sums)
        bounds = _sum_bounds(weight, bias, inputs)
        values = self._value_scale(layer, sums, shifted, is_tanh, wanted)
        fixed = FixedLayer(
            layer,
            weight,
            bias,
            np.zeros_like(bias) if shifted else _exponent(sums),
            np.zeros_like(bias) if shifted else _exponent(values),
            shifted or is_tanh,
            bounds.magnitude >> self.shift,
        )
        return fixed, values, self._value_bounds(layer, bounds, shifted, is_tanh)

    def _sum_scale(
        self, layer: Layer, weight: Float64, weight_limit: int, inputs: _Bounds
    ) -> Float64:
        """The largest scale at which weights fit and the sums of every observation do."""
        magnitude = inputs.magnitude.astype(np.float64)
        rounding = 0.5 * (weight != 0) @ magnitude + 2.0**self.shift + 1
        room = np.maximum(2.0 ** (self.form.sum_bits - 1) - rounding, 1.0)
        terms = np.abs(weight) @ magnitude + np.abs(layer.bias)
        largest = np.abs(weight).max(axis=1)
        return np.minimum(_fitting(largest, weight_limit), _fitting(terms, room))

    def _value_scale(
        self, layer: Layer, sums: Float64, shifted: bool, is_tanh: bool, wanted: Float64 | None
    ) -> Float64:
        if wanted is None or shifted:
            return sums / 2.0**self.shift
        if is_tanh:
            return np.full_like(sums, 2.0**fixed_tanh.OUTPUT_BITS)
        return _power_of_two(_fitting(wanted, self.limit))

    def _value_bounds(self, layer: Layer, sums: _Bounds, shifted: bool, is_tanh: bool) -> _Bounds:
        limit = fixed_tanh.ONE if is_tanh else self.limit
        if not shifted:
            everything = np.full_like(sums.highest, limit)
            return _Bounds(-everything, everything)
        low = 0 if layer.activation == "relu" else -limit
        return _Bounds(
            np.clip(sums.lowest >> self.shift, low, limit),
            np.clip(sums.highest >> self.shift, low, limit),
        )


def _nearest_to_whole(weight: Float64, scale: Float64, inputs: _Bounds) -> Float64:
    """Of the scales from half of `scale` up to it, for each row that with the least error."""
    reach = inputs.magnitude.astype(np.float64)
    best, least = scale, np.full(len(scale), np.inf)
    for share in np.linspace(1.0, 0.5, _SCALES_TRIED, endpoint=False):
        tried = (scale * share)[:, None]
        error = ((np.rint(weight * tried) / tried - weight) * reach) ** 2
        total = error.sum(axis=1)
        best, least = np.where(total < least, scale * share, best), np.minimum(total, least)
    return best


def _sum_bounds(weight: Int, bias: Int, inputs: _Bounds) -> _Bounds:
    positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
    lowest = positive @ inputs.lowest + negative @ inputs.highest + bias
    highest = positive @ inputs.highest + negative @ inputs.lowest + bias
    return _Bounds(lowest.astype(np.int64), highest.astype(np.int64))


def _fitting(magnitude: Float64, limit: float | Float64) -> Float64:
    """The largest scale at which magnitude does not pass `limit`."""
    with np.errstate(divide="ignore"):
        return np.minimum(limit / magnitude, GREATEST_SCALE)


def _power_of_two(scale: Float64) -> Float64:
    """The largest power of two up to `scale`."""
    return np.asarray(np.exp2(np.floor(np.log2(scale))), np.float64)


def _exponent(scale: Float64) -> Int:
    return np.rint(np.log2(scale)).astype(np.int64)


def _exponent_shift(sums: Float64) -> Int:
    """Half of what the shift to tanh's argument drops, so that it rounds to the nearest."""
    return np.left_shift(1, _exponent(sums) - fixed_tanh.INPUT_BITS) >> 1
