"""The choice of a graph's scales in fixed point, by calibration observations.

A row of weights has the largest scale at which the weights fit their bits and no sum can leave its
accumulator, whatever the observation. As relu(a z) = a relu(z), a hidden neuron's scale may be any
number: its readers take it up into their weights. That of an observation, of what tanh or a float
activation takes, and of what it gives is a power of two, so that a shift does.

Powers of two for the hidden neurons too would save nothing, as their sums are shifted either way,
all by the same number of bits, which AVR and Cortex-M0 do for less than a shift of the row's own;
and they cost accuracy. Root mean square error of two networks of benchmarks/networks.py over 10,000
observations, with scales as here and with powers of two a row:

| encoding | c | c, powers of two | p | p, powers of two |
| --- | --- | --- | --- | --- |
| packed-int16 | 1.3e-4 | 3.1e-4 | 1.1e-4 | 1.6e-4 |
| packed-int8 | 1.5e-3 | 2.9e-3 | 1.1e-3 | 4.3e-3 |
| stream-int16 | 1.3e-4 | 2.3e-4 | 1.2e-4 | 1.6e-4 |
| straight-int8 | 2.3e-3 | 6.3e-3 | 2.4e-3 | 6.6e-3 |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.export.encodings.fixed import places
from sparsectl.export.encodings.fixed import tanh as fixed_tanh
from sparsectl.export.encodings.fixed.bounds import Bounds, running_bounds, sum_bounds, value_bounds
from sparsectl.export.encodings.fixed.policy import SHIFTED, FixedLayer, FixedPolicy, Int
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.activations.recurrent import CELLS
from sparsectl.policy.graph import Layer, PolicyGraph, in_parts

INPUT_HEADROOM = 1.6
"""How far beyond the calibration observations an observation may go before it is cut off."""
_ASLEEP = 0.25
"""Of what a neuron's sum reached below 0: the least that is expected of it above."""
_SCALES_TRIED = 128
_INPUT_LIMIT = 32_767  # an observation has a sign; a hidden value of 16 bits may have none
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
    cuts_off: bool = True
    """Whether values are cut off; otherwise their scales leave room for every observation."""
    headroom: float = 1.25
    """How far beyond the calibration observations a hidden value may go before it is cut off."""
    bias_step: int = 1
    """Biases are multiples of it."""


JUMPS = ("step", "round_half_even", "round_down", "quantise", "logarithm", "reciprocal")
"""Activations whose result may be far off where a sum is hardly so."""


def fixed_policy(graph: PolicyGraph, observations: Float32, form: Format) -> FixedPolicy:
    """The graph in whole numbers; of the shifts and limits that the format allows, those with the
    least error over `observations`."""
    _require_fixed(graph)
    ranges = _ranges(graph, observations, form.headroom)
    if not all(np.isfinite(each).all() for each in ranges):
        raise UserError(
            "a hidden value overflows on the observations that scales are calibrated on, so it "
            "has no scale in fixed point; choose a float32 encoding"
        )
    exact = graph.forward_exact(observations)

    def tried(shift: int, bits: Sequence[int]) -> tuple[float, int, list[int], FixedPolicy]:
        scaling = _Scaling(form, shift, [2**each - 1 for each in bits])
        policy = scaling.policy(graph, ranges)
        refined = scaling.policy(graph, ranges, np.exp2(policy.layers[-1].exponent))
        errors = [each.mean_square_error(observations, exact) for each in (policy, refined)]
        better = errors[1] < errors[0]
        return errors[better], shift, list(bits), refined if better else policy

    hidden = len(graph.layers) - 1
    found = [tried(shift, [bits] * hidden) for shift in form.shifts for bits in form.value_bits]
    best = min(found, key=lambda each: each[0])
    for index in reversed(
        range(hidden)
    ):  # wide values leave few bits to the weights that read them
        shift, bits = best[1], best[2]
        found = [
            tried(shift, [*bits[:index], each, *bits[index + 1 :]]) for each in form.value_bits
        ]
        best = min([best, *found], key=lambda each: each[0])
    return best[3]


def _require_fixed(graph: PolicyGraph) -> None:
    """Raises:
    UserError: a hidden layer has fewer results than neurons and is none of recurrent units, or has
        one that jumps; a convolution reads values that have a scale each.
    """
    places.require_scales(graph)
    for layer in graph.layers[:-1]:
        parts = layer.parts
        taken = [
            s.activation
            for s in parts
            if (not s.is_elementwise and s.activation not in CELLS) or s.activation in JUMPS
        ]
        if taken:
            raise UserError(
                f"fixed point has no scale for the sums of {taken[0]!r} between layers; choose a "
                "float32 encoding"
            )


def _ranges(graph: PolicyGraph, observations: Float32, headroom: float) -> list[Float64]:
    """Greatest magnitude of each observation and of each hidden layer's values, with headroom."""
    parts = [_ranges_of(graph, part, headroom) for part in in_parts(observations, graph.widest)]
    ranges = [np.max(each, axis=0) for each in zip(*parts, strict=True)]
    return places.of_channels(graph, ranges)


def _ranges_of(graph: PolicyGraph, observations: Float32, headroom: float) -> list[Float64]:
    x = observations.astype(np.float64).T
    ranges = [INPUT_HEADROOM * np.abs(x).max(axis=1)]
    for layer in graph.layers[:-1]:
        if layer.convolution:
            sums = layer.sums(x.T).T
        else:
            sums = layer.weight.astype(np.float64) @ x + layer.bias[:, None]
        x = layer.activate_exact(sums)
        reached = np.abs(x).max(axis=1)
        if layer.activation == "relu":  # one that hardly ever woke may wake further
            reached = np.maximum(reached, np.abs(sums).max(axis=1) * _ASLEEP)
        ranges.append(headroom * reached)
    return ranges


@dataclass(frozen=True)
class _Readers:
    """The last layer, for the choice of the scales of the values that it reads."""

    weight: Float64
    """[out, in], times the scale of its sums."""
    limit: int
    scale: Float64

    def error(self, own: Float64, scale: Float64, reach: Float64) -> Float64:
        """The square error that values bring to the sums: their own, and that of the weights that
        read them, which must be whole at the values' scale."""
        weight = self.weight / scale
        rounded = np.rint(weight)
        rounding = ((rounded - weight) * scale * reach / self.scale[:, None]) ** 2
        fits = np.all(np.abs(rounded) <= self.limit, axis=0)
        read = ((self.weight / self.scale[:, None]) ** 2).sum(axis=0) * own
        return np.where(fits, read + rounding.sum(axis=0), np.inf)


@dataclass(frozen=True)
class _Scaling:
    """The choice of scales for one shift and for one limit of the values a hidden layer."""

    form: Format
    shift: int
    limits: list[int]

    def policy(
        self, graph: PolicyGraph, ranges: Sequence[Float64], last: Float64 | None = None
    ) -> FixedPolicy:
        """ranges: as `_ranges` gives them. last: the scales of the last layer's sums, for which the
        scales before are then chosen too; None where they are not yet known."""
        scale = _power_of_two(_fitting(ranges[0], _INPUT_LIMIT))
        greatest = np.clip(np.ceil(ranges[0] * scale), 1, _INPUT_LIMIT).astype(np.int64)
        exponent, bounds = _exponent(scale), Bounds(-greatest, greatest)
        layers = []
        weight_limits = self.form.weight_limit
        for index, layer in enumerate(graph.layers):
            weight_limit = weight_limits[min(index, len(weight_limits) - 1)]
            left = len(graph.layers) - 1 - index
            wanted = (ranges[index + 1], self.limits[index]) if left else None
            readers = None
            if left == 1 and last is not None and not graph.has_convolutions:
                readers = _Readers(graph.layers[-1].weight * last[:, None], weight_limits[-1], last)
            fixed, scale, bounds = self._layer(layer, weight_limit, scale, bounds, wanted, readers)
            layers.append(fixed)
        return FixedPolicy(graph, self.shift, exponent, greatest, tuple(layers))

    def _layer(
        self,
        layer: Layer,
        weight_limit: int,
        scale: Float64,
        inputs: Bounds,
        wanted: tuple[Float64, int] | None,
        readers: _Readers | None,
    ) -> tuple[FixedLayer, Float64, Bounds]:
        """The layer, its values' scales and their bounds.

        scale, inputs: of the values that it takes; wanted: the range of its own and their limit;
        None: the last layer.
        """
        if layer.convolution:
            patch = places.patch(layer.convolution, scale, inputs)
            wanted = wanted and (wanted[0][: len(layer.bias)], wanted[1])
            at_one = replace(layer, convolution=None)
            found = self._layer(at_one, weight_limit, *patch, wanted, readers)
            return places.each_place(layer, *found)
        shifted = wanted is not None and layer.activation in SHIFTED
        limit = wanted[1] if wanted else 0
        sums = self._sum_scale(layer, layer.weight / scale, weight_limit, inputs)
        if wanted is not None and shifted:
            sums = np.minimum(sums, _fitting(wanted[0], limit) * 2.0**self.shift)
            if not self.form.cuts_off:
                terms = _greatest_terms(layer, layer.weight / scale, inputs)
                sums = np.minimum(sums, _fitting(terms, (limit - 1) * 2.0**self.shift))
            sums = self._nearest_to_whole(layer.weight / scale, sums, inputs, wanted[0], readers)
        else:
            sums = _power_of_two(sums)
        weight = np.rint(layer.weight / scale * sums[:, None]).astype(np.int64)
        is_tanh = layer.activation == "tanh" and bool(np.all(sums >= 2.0**fixed_tanh.INPUT_BITS))
        bias = self._bias(layer, sums, shifted, is_tanh)
        self._check(layer, running_bounds(weight, bias, inputs))
        bounds = sum_bounds(weight, bias, inputs)
        if shifted or wanted is None:
            values = sums / 2.0**self.shift
        elif is_tanh:
            values = np.full_like(sums, 2.0**fixed_tanh.OUTPUT_BITS)
        else:
            values = _power_of_two(_fitting(wanted[0], limit))
        nothing = np.zeros_like(bias)
        fixed = FixedLayer(
            layer,
            weight,
            bias,
            nothing if shifted else _exponent(sums),
            nothing if shifted else _exponent(values),
            shifted or is_tanh,
            limit,
            bounds.magnitude >> self.shift,
            sums,
        )
        return fixed, values, value_bounds(fixed, bounds, self.shift if shifted else None)

    def _check(self, layer: Layer, running: Bounds) -> None:
        """Raises:
        UserError: the layer's accumulators could overflow, whatever scale is taken.
        """
        if running.magnitude.max() >= 2 ** (self.form.sum_bits - 1):
            row = int(running.magnitude.argmax())
            raise UserError(
                f"neuron {row} of a layer of {layer.outputs} x {layer.inputs} has a bias of "
                f"{layer.bias[row]:g} and weights whose sum leaves {self.form.sum_bits} bits in "
                "fixed point; choose a float32 encoding"
            )

    def _bias(self, layer: Layer, sums: Float64, shifted: bool, is_tanh: bool) -> Int:
        """With half of what the shift after the sum drops, so that it rounds to the nearest."""
        bias = np.rint(layer.bias * sums).astype(np.int64)
        if shifted:
            bias += 1 << (self.shift - 1)
        elif is_tanh:
            bias += _exponent_shift(sums)
        step = self.form.bias_step
        return np.asarray((bias + step // 2) // step * step, np.int64)

    def _sum_scale(
        self, layer: Layer, weight: Float64, weight_limit: int, inputs: Bounds
    ) -> Float64:
        """The largest scale at which weights fit and the sums of every observation do, on their
        way too."""
        inputs = inputs.with_zero
        magnitude = inputs.magnitude.astype(np.float64)
        rounding = 0.5 * (weight != 0) @ magnitude + 2.0**self.shift + self.form.bias_step
        room = np.maximum(2.0 ** (self.form.sum_bits - 1) - rounding, 1.0)
        positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
        highest = positive @ inputs.highest + negative @ inputs.lowest + layer.bias
        lowest = positive @ inputs.lowest + negative @ inputs.highest + layer.bias
        terms = np.maximum(np.abs(highest), np.abs(lowest))
        if layer.activation == "tanh":
            terms += 2.0 ** -(fixed_tanh.INPUT_BITS + 1)  # what rounds the argument is in the bias
        largest = np.abs(weight).max(axis=1)
        return np.minimum(_fitting(largest, weight_limit), _fitting(terms, room))

    def _nearest_to_whole(
        self,
        weight: Float64,
        scale: Float64,
        inputs: Bounds,
        wanted: Float64,
        readers: _Readers | None,
    ) -> Float64:
        """Of the scales from half of `scale` up to it, for each row that with the least error."""
        reach = inputs.magnitude.astype(np.float64)
        best, least = scale, np.full(len(scale), np.inf)
        for share in np.linspace(1.0, 0.5, _SCALES_TRIED, endpoint=False):
            tried = scale * share
            rounded = np.rint(weight * tried[:, None]) / tried[:, None]
            total = (((rounded - weight) * reach) ** 2).sum(axis=1)
            if readers:
                total = readers.error(total, tried / 2.0**self.shift, wanted)
            best, least = np.where(total < least, tried, best), np.minimum(total, least)
        return best


def _greatest_terms(layer: Layer, weight: Float64, inputs: Bounds) -> Float64:
    """The greatest magnitude of a sum in units of its value, whatever the observation."""
    positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
    highest = positive @ inputs.highest + negative @ inputs.lowest + layer.bias
    lowest = positive @ inputs.lowest + negative @ inputs.highest + layer.bias
    reached = np.maximum(highest, 0) if layer.activation == "relu" else np.abs(highest)
    return reached if layer.activation == "relu" else np.maximum(reached, np.abs(lowest))


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
