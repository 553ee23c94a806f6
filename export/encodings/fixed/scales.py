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
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.export.encodings.fixed import places
from sparsectl.export.encodings.fixed import tanh as fixed_tanh
from sparsectl.export.encodings.fixed.bounds import Bounds, running_bounds, sum_bounds, value_bounds
from sparsectl.export.encodings.fixed.cell_scales import CellLayer, NotWholeError
from sparsectl.export.encodings.fixed.cells import (
    gru_columns,
    has_cells,
    state_groups,
    within_one,
)
from sparsectl.export.encodings.fixed.format import Format, exponent_of, fitting, power_of_two
from sparsectl.export.encodings.fixed.matrix import Int
from sparsectl.export.encodings.fixed.policy import SHIFTED, FixedLayer, FixedPolicy
from sparsectl.export.encodings.fixed.steps import MOST_BITS
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.activations.recurrent import CELLS
from sparsectl.policy.graph import Layer, PolicyGraph, in_parts

INPUT_HEADROOM = 1.6
"""Factor by which an observation may exceed the calibration's before it saturates."""
_ASLEEP = 0.25
"""A neuron's sum is expected to reach at least this share above 0 of what it reached below 0."""
_SCALES_TRIED = 128
_WIDE_SUM_BITS = 32
_NARROW = 2**13
"""A GRU's states within 1 have a step of its reciprocal where their upper bytes are read: 16 bits
hold what one is moved by."""
_INPUT_LIMIT = 32_767  # an observation has a sign; a hidden value of 16 bits may have none

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
    some = _whole_cells(graph, ranges, form)

    def tried(shift: int, bits: Sequence[int]) -> tuple[float, int, list[int], FixedPolicy]:
        scaling = _Scaling(form, shift, [2**each - 1 for each in bits], some is not None)
        if some is not None:
            try:
                policy = scaling.policy(graph, ranges)
            except NotWholeError:
                return np.inf, shift, list(bits), some
            return policy.mean_square_error(observations, exact), shift, list(bits), policy
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
            tried(shift, [*bits[:index], each, *bits[index + 1 :]])
            for each in form.value_bits
            if each != bits[index]
        ]
        best = min([best, *found], key=lambda each: each[0])
    return best[3]


def _whole_cells(graph: PolicyGraph, ranges: Sequence[Float64], form: Format) -> FixedPolicy | None:
    """Return the policy with recurrent units in whole numbers, for some shift and limit of the
    format; None if there are no units, or if their sums have too few bits, so that they need
    floats."""
    if not has_cells(graph):
        return None
    for shift in form.shifts:
        for bits in form.value_bits:
            limits = [2**bits - 1] * (len(graph.layers) - 1)
            try:
                return _Scaling(form, shift, limits, True).policy(graph, ranges)
            except NotWholeError:
                pass
    return None


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
                f"fixed point has no scale for {taken[0]!r} in a hidden layer; choose a float32 "
                "encoding"
            )


def _ranges(graph: PolicyGraph, observations: Float32, headroom: float) -> list[Float64]:
    """Return the greatest magnitude of each observation and of each hidden layer's values, with
    headroom."""
    parts = [_ranges_of(graph, part, headroom) for part in in_parts(observations, graph.widest)]
    ranges = [np.max(each, axis=0) for each in zip(*parts, strict=True)]
    if has_cells(graph):
        room = (INPUT_HEADROOM, *[headroom] * len(ranges[1:]))
        for own, factor, is_state in zip(ranges, room, within_one(graph), strict=True):
            own[is_state] = np.minimum(own, np.maximum(own / factor, 1.0))[is_state]
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
    whole_cells: bool = False
    """True if recurrent units are computed in whole numbers."""

    def policy(
        self, graph: PolicyGraph, ranges: Sequence[Float64], last: Float64 | None = None
    ) -> FixedPolicy:
        """ranges: as `_ranges` gives them. last: the scales of the last layer's sums, for which the
        scales before are then chosen too; None where they are not yet known."""
        room = np.full(graph.observation_size, _INPUT_LIMIT)
        groups = state_groups(graph) if self.whole_cells else []
        for group in groups:
            room[group] += 1
            if self.form.reads_upper and within_one(graph)[0][group].all():
                room[group] = _NARROW
            elif self.form.sum_bits < _WIDE_SUM_BITS:
                # The finer an observation, the smaller are the weights that read it. Those that
                # read the state would be rounded too much beside them at the same scale.
                room[group] = self.limits[0] + 1
        scale = power_of_two(fitting(ranges[0], room))
        for group in groups:
            scale[group] = min(scale[group].min(), 2.0**MOST_BITS)  # as fine as its tanh
        most = np.minimum(room, _INPUT_LIMIT)
        greatest = np.clip(np.ceil(ranges[0] * scale), 1, most).astype(np.int64)
        exponent, bounds = exponent_of(scale), Bounds(-greatest, greatest)
        layers = []
        weight_limits = self.form.weight_limit
        is_state = gru_columns(graph)
        for index, layer in enumerate(graph.layers):
            weight_limit = weight_limits[min(index, len(weight_limits) - 1)]
            left = len(graph.layers) - 1 - index
            wanted = (ranges[index + 1], self.limits[index]) if left else None
            readers = None
            if left == 1 and last is not None and not graph.has_convolutions:
                readers = _Readers(graph.layers[-1].weight * last[:, None], weight_limits[-1], last)
            if self.whole_cells:
                made = self._cell_layer(
                    index, layer, weight_limit, scale, bounds, is_state[index], wanted
                )
            else:
                made = self._layer(layer, weight_limit, scale, bounds, wanted, readers)
            fixed, scale, bounds = made
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
        sums = self.form.sum_scale(layer, layer.weight / scale, weight_limit, inputs, self.shift)
        if wanted is not None and shifted:
            sums = np.minimum(sums, fitting(wanted[0], limit) * 2.0**self.shift)
            if not self.form.cuts_off:
                terms = _greatest_terms(layer, layer.weight / scale, inputs)
                sums = np.minimum(sums, fitting(terms, (limit - 1) * 2.0**self.shift))
            sums = self._nearest_to_whole(layer.weight / scale, sums, inputs, wanted[0], readers)
        else:
            sums = power_of_two(sums)
        weight = np.rint(layer.weight / scale * sums[:, None]).astype(np.int64)
        is_tanh = layer.activation == "tanh" and bool(np.all(sums >= 2.0**fixed_tanh.INPUT_BITS))
        bias = self._bias(layer, sums, shifted, is_tanh)
        self.form.check(layer, running_bounds(weight, bias, inputs))
        bounds = sum_bounds(weight, bias, inputs)
        if shifted or wanted is None:
            values = sums / 2.0**self.shift
        elif is_tanh:
            values = np.full_like(sums, 2.0**fixed_tanh.OUTPUT_BITS)
        else:
            values = power_of_two(fitting(wanted[0], limit))
        nothing = np.zeros_like(bias)
        fixed = FixedLayer(
            layer,
            weight,
            bias,
            nothing if shifted else exponent_of(sums),
            nothing if shifted else exponent_of(values),
            shifted or is_tanh,
            limit,
            bounds.magnitude >> self.shift,
            sums,
        )
        return fixed, values, value_bounds(fixed, bounds, self.shift if shifted else None)

    def _cell_layer(
        self,
        index: int,
        layer: Layer,
        weight_limit: int,
        scale: Float64,
        inputs: Bounds,
        is_state: NDArray[np.bool_],
        wanted: tuple[Float64, int] | None,
    ) -> tuple[FixedLayer, Float64, Bounds]:
        """Choose the scales of a layer as `_layer` does, for a policy with recurrent units."""

        def one_matrix(
            part: Layer, scale: Float64, inputs: Bounds, reach: Float64, limit: int
        ) -> tuple[FixedLayer, Float64, Bounds]:
            return self._layer(part, weight_limit, scale, inputs, (reach, limit), None)

        return CellLayer(
            self.form,
            self.shift,
            weight_limit,
            layer,
            f"layer{index}",
            scale,
            inputs,
            is_state,
            wanted,
            one_matrix,
        ).made()

    def _bias(self, layer: Layer, sums: Float64, shifted: bool, is_tanh: bool) -> Int:
        """Return the bias, including half of the step of the shift after the sum, which then rounds
        to the nearest."""
        bias = np.rint(layer.bias * sums).astype(np.int64)
        if shifted:
            bias += 1 << (self.shift - 1)
        elif is_tanh:
            bias += _exponent_shift(sums)
        return self.form.in_steps(bias)

    def _nearest_to_whole(
        self,
        weight: Float64,
        scale: Float64,
        inputs: Bounds,
        wanted: Float64,
        readers: _Readers | None,
    ) -> Float64:
        """Return for each row, of the scales from half of `scale` up to it, the one with the least
        error."""
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
    """Return the greatest magnitude of a sum in units of its value, whatever the observation."""
    positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
    highest = positive @ inputs.highest + negative @ inputs.lowest + layer.bias
    lowest = positive @ inputs.lowest + negative @ inputs.highest + layer.bias
    reached = np.maximum(highest, 0) if layer.activation == "relu" else np.abs(highest)
    return reached if layer.activation == "relu" else np.maximum(reached, np.abs(lowest))


def _exponent_shift(sums: Float64) -> Int:
    """Return half of what the shift to tanh's argument drops, so that it rounds to the nearest."""
    return np.left_shift(1, exponent_of(sums) - fixed_tanh.INPUT_BITS) >> 1
