"""The scales of a layer with recurrent units: what is one matrix elsewhere is several here.

A gate, a state and what tanh takes are read by shifts that are the same for all units of a cell, so
the sums of each have one power of two for their scale. Neurons that only hand on a value keep its
scale, and cost no product. Scales of states are the same for all units of a cell from the
observation on, which holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sparsectl.export.encodings.fixed import curve
from sparsectl.export.encodings.fixed.bounds import Bounds, running_bounds, sum_bounds
from sparsectl.export.encodings.fixed.cell_operands import (
    BITS,
    OPERANDS,
    RECURRENT,
    STATE,
    UPDATED,
    WITHIN_ONE,
    Source,
    upper,
)
from sparsectl.export.encodings.fixed.cells import carried_from, trimmed
from sparsectl.export.encodings.fixed.float_steps import CarryFloats, FloatStep, SumFloats
from sparsectl.export.encodings.fixed.format import Format, exponent_of, fitting, power_of_two
from sparsectl.export.encodings.fixed.matrix import FixedMatrix, by_what_they_read, joined
from sparsectl.export.encodings.fixed.policy import FixedLayer
from sparsectl.export.encodings.fixed.steps import MOST_BITS, Carry, Cell, Operand, Step
from sparsectl.policy.activations import Float64
from sparsectl.policy.graph import Layer, Segment

GREATEST = 2**MOST_BITS - 1
"""Greatest magnitude of a value that is multiplied by a gate."""

_BYTE = 8
"""Number of bits that an 8-bit core drops at no cost."""

OneMatrix = Callable[[Layer, Float64, Bounds, Float64, int], tuple[FixedLayer, Float64, Bounds]]
"""(a relu layer, scales and bounds of the values that it reads, range and limit of its own values)
→ the layer in integers, the scales of its values and their bounds."""


class NotWholeError(Exception):
    """The layer cannot be computed in whole numbers with these scales."""


@dataclass
class CellLayer:
    """Builds a layer with recurrent units."""

    form: Format
    shift: int
    weight_limit: int
    layer: Layer
    name: str
    scale: Float64
    """Scales of the values that it reads."""
    inputs: Bounds
    """Bounds of the values that it reads."""
    is_state: NDArray[np.bool_]
    """Which of the values that it reads are states."""
    wanted: tuple[Float64, int] | None
    """Range and limit of its own values; None: it is the last layer."""
    one_matrix: OneMatrix
    matrices: list[FixedMatrix] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    ends: list[FloatStep] = field(default_factory=list)
    sums: int = 0
    """Number of sums so far."""

    def made(self) -> tuple[FixedLayer, Float64, Bounds]:
        """Return the layer, the scales of its values and their bounds.

        Raises:
            NotWholeError: an activation that has no form here, or scales that leave too few bits.
        """
        results = self.layer.results
        self.values = np.ones(results)
        self.bounds = Bounds(np.zeros(results, np.int64), np.zeros(results, np.int64))
        row, result = 0, 0
        for segment in self.layer.parts:
            rows = slice(row, row + segment.neurons)
            if segment.activation in OPERANDS and self.wanted is not None:
                self._cell(segment, rows, result)
            elif self.wanted is None:
                self._end(segment, rows, result)
            else:
                self._plain(segment, rows, result)
            row, result = rows.stop, result + segment.results
        return self._whole(), self.values, self.bounds

    def _whole(self) -> FixedLayer:
        nothing = np.zeros(self.layer.outputs, np.int64)
        matrices, places = by_what_they_read(self.matrices)
        return FixedLayer(
            self.layer,
            np.zeros((1, 1), np.int64),
            nothing,
            nothing,
            nothing,
            True,
            self.wanted[1] if self.wanted else 0,
            nothing,
            np.ones(self.layer.outputs),
            tuple(joined(matrices)),
            tuple(each.moved(places) for each in self.steps),
            tuple(each.moved(places) for each in self.ends),
        )

    def _plain(self, segment: Segment, rows: slice, result: int) -> None:
        if segment.activation == "relu":
            self._relu(rows, result)
        elif segment.activation == "identity":
            for run, column in self._runs(rows):
                at = result + run.start - rows.start
                if column >= 0:
                    self._carry(at, column, run.stop - run.start)
                else:
                    self._linear(run, at)
        else:
            raise NotWholeError(segment.activation)

    def _runs(self, rows: slice, *, like: bool = False) -> Iterator[tuple[slice, int]]:
        """Runs of rows that hand on values which follow one another, with the first of these; and
        runs of others, with -1. like: the values have one scale, a power of two."""
        carried = carried_from(self.layer)[rows]
        if like:
            carried = np.where(np.log2(self.scale[carried]) % 1 == 0, carried, -1)
        follows = np.diff(carried) == 1
        follows &= (carried[1:] >= 0) & (carried[:-1] >= 0)
        if like:
            follows &= self.scale[carried[1:]] == self.scale[carried[:-1]]
        follows |= (carried[1:] < 0) & (carried[:-1] < 0)
        ends = [0, *(np.flatnonzero(~follows) + 1).tolist(), len(carried)]
        for start, stop in pairwise(ends):
            yield slice(rows.start + start, rows.start + stop), int(carried[start])

    def _carry(self, result: int, column: int, count: int) -> None:
        self.steps.append(Carry(result, column, count))
        self._give(result, self.scale[column : column + count], self._of(column, count))

    def _of(self, column: int, count: int) -> Bounds:
        taken = slice(column, column + count)
        return Bounds(self.inputs.lowest[taken], self.inputs.highest[taken])

    def _give(self, result: int, scale: Float64, bounds: Bounds) -> None:
        place = slice(result, result + len(bounds.lowest))
        self.values[place] = scale
        self.bounds.lowest[place] = bounds.lowest
        self.bounds.highest[place] = bounds.highest

    def _part(self, rows: slice, activation: str = "identity") -> tuple[Layer, int]:
        """Return these neurons with the columns that they read, and the first of those columns."""
        return trimmed(Layer(self.layer.weight[rows], self.layer.bias[rows], activation), 0)

    def _relu(self, rows: slice, result: int) -> None:
        part, column = self._part(rows, "relu")
        wanted, limit = self._wanted(result, part.outputs)
        scale = self.scale[column : column + part.inputs]
        fixed, values, bounds = self.one_matrix(
            part, scale, self._of(column, part.inputs), wanted, limit
        )
        self._add(fixed.weight, fixed.bias, column, result, fixed.greatest, is_relu=True)
        self._give(result, values, bounds)

    def _wanted(self, result: int, count: int) -> tuple[Float64, int]:
        if self.wanted is None:
            raise ValueError("the last layer has no values")
        return self.wanted[0][result : result + count], self.wanted[1]

    def _linear(self, rows: slice, result: int) -> None:
        """Make values from shifted sums, all multiples of one power of two."""
        part, column = self._part(rows)
        wanted, limit = self._wanted(result, part.outputs)
        exponent = int(exponent_of(power_of_two(fitting(wanted, limit))).min()) + self.shift
        weight, bias, exponent, bounds = self._whole_sums(part, column, exponent, self.shift)
        shifted = Bounds(bounds.lowest >> self.shift, bounds.highest >> self.shift)
        while not self.form.cuts_off and shifted.magnitude.max() >= limit:
            weight, bias, exponent, bounds = self._whole_sums(
                part, column, exponent - 1, self.shift
            )
            shifted = Bounds(bounds.lowest >> self.shift, bounds.highest >> self.shift)
        self._add(weight, bias, column, result, shifted.magnitude, is_relu=False)
        cut = Bounds(
            np.clip(shifted.lowest, -limit, limit), np.clip(shifted.highest, -limit, limit)
        )
        self._give(result, np.full(part.outputs, 2.0 ** (exponent - self.shift)), cut)

    def _whole_sums(
        self,
        part: Layer,
        column: int,
        most: int | None = None,
        drop: int = 0,
        *,
        reads_upper: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, int, Bounds]:
        """Return weights and biases whose sums are multiples of 2^-exponent, that exponent (at most
        `most`), and their bounds; the biases include half of what `drop` bits are, and of what the
        lower bytes are where only the upper ones are read."""
        part, scale, inputs = self._read(part, column, reads_upper=reads_upper)
        room = self.form.sum_scale(
            part, part.weight / scale, self.weight_limit, inputs, max(self.shift, drop)
        )
        exponent = int(exponent_of(power_of_two(room)).min())
        exponent = exponent if most is None else min(exponent, most)
        while True:
            sums = 2.0**exponent
            weight = np.rint(part.weight / scale * sums).astype(np.int64)
            bias = np.rint(part.bias * sums).astype(np.int64) + (1 << drop >> 1)
            bias = self.form.in_steps(bias)
            running = running_bounds(weight, bias, inputs)
            if running.magnitude.max() < 2 ** (self.form.sum_bits - 1):
                return weight, bias, exponent, sum_bounds(weight, bias, inputs)
            if not weight.any():
                self.form.check(part, running)
            exponent -= 1

    def _add(
        self,
        weight: np.ndarray,
        bias: np.ndarray,
        column: int,
        result: int,
        greatest: np.ndarray,
        *,
        is_relu: bool,
    ) -> None:
        """Add a matrix whose sums are shifted."""
        limit = self.wanted[1] if self.wanted else 0
        name = f"{self.name}_rows{result}"
        found = FixedMatrix(name, weight, bias, True, is_relu, limit, greatest, column, result)
        self.matrices.append(found)

    def _read(
        self, part: Layer, column: int, *, reads_upper: bool
    ) -> tuple[Layer, Float64, Bounds]:
        """Return neurons, and the scales and the bounds of what they read."""
        scale, inputs = self.scale[column : column + part.inputs], self._of(column, part.inputs)
        return upper(part, scale, inputs) if reads_upper else (part, scale, inputs)

    def _add_sums(
        self, weight: np.ndarray, bias: np.ndarray, column: int, *, reads_upper: bool = False
    ) -> int:
        """Add a matrix whose sums are not shifted; return the place of the first."""
        name, start = f"{self.name}_sums{self.sums}", self.sums
        found = FixedMatrix(
            name, weight, bias, False, column=column, row=start, reads_upper=reads_upper
        )
        self.matrices.append(found)
        self.sums += len(bias)
        return start

    def _cell(self, segment: Segment, rows: slice, result: int) -> None:
        wanted, limit = self._wanted(result, segment.results)
        found: list[Operand] = []
        exponent = min(MOST_BITS, int(exponent_of(power_of_two(fitting(wanted, limit))).min()))
        recurrent_bits, reach = curve.INPUT_BITS, 0
        units = segment.results
        for index, (name, role) in enumerate(OPERANDS[segment.activation]):
            start = rows.start + index * units
            source = self._source(slice(start, start + units), role)
            if role == STATE:
                if source.is_value and segment.activation in UPDATED:
                    # The next state in the form of the last one.
                    exponent = min(source.exponent, MOST_BITS)
                exponent = min(exponent, source.bits_for(GREATEST))
                reach = source.at(exponent)
                bits = exponent
            elif role == RECURRENT:
                bits = recurrent_bits = min(recurrent_bits, source.bits_for(GREATEST))
            else:
                bits = BITS[role]
            is_short = bits > source.exponent and not (source.is_value or self.form.reads_upper)
            if source.at(bits) >= 2**30 or bits < 0 or is_short:
                raise NotWholeError(name)
            found.append(source.operand(name, bits))
        kind = segment.activation
        if kind in WITHIN_ONE:
            limit = GREATEST
        fresh = min(2**exponent, GREATEST)
        moved = reach + fresh if kind in ("gru", "gru_update") else reach
        reach = {
            "gru": max(reach, fresh),
            "gru_update": max(reach, fresh),
            "gated_product": reach,
            "lstm_cell": reach + fresh,
        }.get(kind, fresh)
        number = f"{result}" if result else ""
        cell = Cell(
            kind,
            f"{self.name}_{kind}{number}",
            result,
            units,
            tuple(found),
            exponent,
            limit,
            reach > limit,
            moved <= GREATEST,
            recurrent_bits,
        )
        self.steps.append(cell)
        most = np.full(units, min(reach, limit), np.int64)
        self._give(result, np.full(units, 2.0**exponent), Bounds(-most, most))

    def _source(self, rows: slice, role: str) -> Source:
        """Return where an operand is: among the values, if it only passes some on, or in a matrix's
        sums.

        A matrix's biases include half of the step to which its sums are rounded later.
        """
        runs = list(self._runs(rows, like=True))
        column = runs[0][1]
        if len(runs) == 1 and column >= 0:
            bounds = self._of(column, rows.stop - rows.start)
            exponent = round(float(np.log2(self.scale[column])))
            return Source(True, column, exponent, int(bounds.magnitude.max()))
        part, first = self._part(rows)
        if self._reads_states(first, part.inputs):
            return self._sums_of(part, first, role, reads_upper=True)
        read = self.is_state[first : first + part.inputs]
        if not self.form.reads_upper or role not in BITS or not read.any():
            return self._sums_of(part, first, role)
        # Apart, each has a scale of its own, and the products with bytes take less time.
        others = trimmed(replace(part, weight=np.where(read, 0, part.weight)), first)
        states = Layer(np.where(read, part.weight, 0), np.zeros_like(part.bias))
        own = self._sums_of(*others, role)
        return replace(own, added=self._sums_of(*trimmed(states, first), role, reads_upper=True))

    def _reads_states(self, column: int, count: int) -> bool:
        """Return whether these values are states of which the upper bytes are read."""
        return self.form.reads_upper and bool(self.is_state[column : column + count].all())

    def _sums_of(self, part: Layer, first: int, role: str, *, reads_upper: bool = False) -> Source:
        """Return an operand's sums, from a matrix of their own.

        Its biases include half of the step to which the sums are rounded later.
        """
        _, _, exponent, bounds = self._whole_sums(part, first, reads_upper=reads_upper)
        reach = int(bounds.magnitude.max())
        source = Source(False, self.sums, exponent, reach, reads_upper)
        most = curve.INPUT_BITS if role == RECURRENT else MOST_BITS
        bits = BITS.get(role, min(most, source.bits_for(GREATEST)))
        drop, least = exponent - bits, -_BYTE if self.form.reads_upper else 0
        if drop < least:
            raise NotWholeError(role)
        if self.form.sum_bits < 32 and drop > _BYTE:
            exponent, drop = bits + _BYTE, _BYTE
            source = replace(source, exponent=exponent)
        while True:
            weight, bias, again, bounds = self._whole_sums(
                part, first, exponent, max(drop, 0), reads_upper=reads_upper
            )
            if again == exponent:
                break
            exponent, drop = again, again - bits  # the half of what is dropped left no room
            if drop < least:
                raise NotWholeError(role)
        source = replace(source, exponent=exponent)
        self._add_sums(weight, bias, first, reads_upper=reads_upper)
        return replace(source, reach=int(bounds.magnitude.max()))

    def _end(self, segment: Segment, rows: slice, result: int) -> None:
        """Add a step of the last layer: floats from its sums, or from values that are passed on."""
        if segment.activation not in ("identity", "tanh"):
            raise NotWholeError(segment.activation)
        is_tanh = segment.activation == "tanh"
        runs = [(rows, -1)] if is_tanh else self._runs(rows, like=True)
        for run, column in runs:
            at, count = result + run.start - rows.start, run.stop - run.start
            if column >= 0:
                exponent = round(float(np.log2(self.scale[column])))
                self.ends.append(CarryFloats(at, column, count, exponent))
            else:
                self._sum_floats(run, at, is_tanh)

    def _sum_floats(self, rows: slice, result: int, is_tanh: bool) -> None:
        part, column = self._part(rows, "tanh" if is_tanh else "identity")
        scale, inputs = self.scale[column : column + part.inputs], self._of(column, part.inputs)
        room = self.form.sum_scale(part, part.weight / scale, self.weight_limit, inputs, self.shift)
        sums = power_of_two(room)
        exponent = exponent_of(sums)
        if is_tanh and exponent.min() < curve.INPUT_BITS:
            raise NotWholeError("tanh")
        half = np.left_shift(1, exponent - curve.INPUT_BITS) >> 1 if is_tanh else 0
        weight = np.rint(part.weight / scale * sums[:, None]).astype(np.int64)
        bias = self.form.in_steps(np.rint(part.bias * sums).astype(np.int64) + half)
        self.form.check(part, running_bounds(weight, bias, inputs))
        start = self._add_sums(weight, bias, column)
        self.ends.append(SumFloats(result, start, tuple(exponent.tolist()), is_tanh))
