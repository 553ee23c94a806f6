"""Lower a program to a chain of layers.

A layer's neurons are sums of values from the layer before, each with its activation, so a step's
scaled inputs, and sums that are used once, become weights. Values that are needed later are carried
past a layer by a neuron with one weight of 1. Layers are in the order in which values can first be
computed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.policy.activations import Float64
from sparsectl.policy.activations.clip import GREATEST, LOWEST
from sparsectl.policy.graph import MAX_LAYERS, MAX_NUMBERS, MAX_WEIGHTS, Layer, Segment
from sparsectl.policy.onnx_file.action import Action
from sparsectl.policy.onnx_file.convolving import Image, Share, convolved, share_of
from sparsectl.policy.onnx_file.program import (
    Convolve,
    Dense,
    Function,
    Observe,
    Program,
    Step,
    Total,
)
from sparsectl.policy.onnx_file.symbol import NOTHING, Symbol
from sparsectl.policy.onnx_file.uses import Normaliser, Uses
from sparsectl.policy.passes import CENTRED_FROM


@dataclass(frozen=True, eq=False)
class Row:
    """A neuron's sum: weights of values, and a bias."""

    values: NDArray[np.int64]
    weights: Float64
    bias: float
    share: Share | None = None
    """The convolution's sum that it is, if it is nothing else."""


@dataclass(frozen=True, eq=False)
class Unit:
    """Neurons of one activation, side by side in a layer."""

    activation: str
    parameters: tuple[float, ...]
    rows: tuple[Row, ...]
    """One run of rows per operand."""
    results: tuple[int, ...]
    """The resulting values."""
    divisible: bool
    """True if each result has operands of its own."""


def lower(
    program: Program, actions: list[Action], frames: int, observed: int | None = None
) -> tuple[tuple[Layer, ...], Normaliser]:
    """Return the layers whose results are the actions' atoms, in order, from normalised
    observations; a constant action gets a neuron without weights.

    frames: number of frames in an observation; a normaliser is the same in each.
    observed: number of values of the observation, if a state follows them.

    Raises:
        UserError: there are more layers or weights than a policy may have.
    """
    for index, step in enumerate(program.steps):
        if isinstance(step, Function) and step.name == "clip":
            program.steps[index] = _limits(program, step)
    uses = Uses(program, [action.atom for action in actions], frames, observed)
    return _Chain(uses).layers(actions), uses.normaliser


class _Chain:
    """The units of each layer, from the program's steps in order."""

    def __init__(self, uses: Uses) -> None:
        self.uses = uses
        self.program = uses.program
        self.level: list[int] = [0] * uses.program.atoms
        self.last_use: list[int] = [0] * uses.program.atoms
        self.units: dict[int, list[Unit]] = defaultdict(list)
        self.unit_of: dict[int, Unit] = {}
        self._centred: dict[tuple[int, float], int] = {}
        self._inputs: dict[int, tuple[Symbol, Float64]] = {}
        self._normalised = (uses.normaliser.scale != 1) | (uses.normaliser.offset != 0)
        for step in self.program.steps:
            self._add(step)

    def _add(self, step: Step) -> None:
        kept = self.uses.kept(step)
        if not kept.size or isinstance(step, Observe):
            return
        if isinstance(step, Function):
            self._add_function(step, kept)
            return
        alone = [i for i in kept.tolist() if not self.uses.is_absorbed(step, step.first + i)]
        rows = [self._row([(step.first + i, 1.0, 0.0, 0.0)], opened=True) for i in alone]
        self._add_units("identity", [()] * len(rows), [[row] for row in rows], step.first, alone)

    def _add_function(self, step: Function, kept: NDArray[np.intp]) -> None:
        if step.is_whole:
            rows = tuple(self._row([term]) for term in _terms(step.inputs, 0))
            results = tuple(range(step.first, step.first + step.count))
            parameters = tuple(p for p in step.parameters if isinstance(p, float))
            self._place(Unit(step.name, parameters, rows, results, False))
            return
        places = kept.tolist()
        operands = [list(_terms(step.inputs, k)) for k in range(len(step.inputs.atom))]
        rows_of = [[self._row([terms[i]]) for terms in operands] for i in places]
        self._add_units(step.name, [_at(step, i) for i in places], rows_of, step.first, places)

    def _add_units(
        self,
        name: str,
        parameters: list[tuple[float, ...]],
        rows: list[list[Row]],
        first: int,
        places: list[int],
    ) -> None:
        """Join consecutive elements of the same level with the same parameters into a unit."""
        runs: dict[tuple[int, int], list[int]] = {}
        number: dict[int, int] = defaultdict(int)
        before: dict[int, tuple[float, ...]] = {}
        for index in range(len(places)):
            level = self._level(rows[index])
            if before.setdefault(level, parameters[index]) != parameters[index]:
                number[level] += 1
                before[level] = parameters[index]
            runs.setdefault((level, number[level]), []).append(index)
        for run in runs.values():
            operands = len(rows[run[0]])
            ordered = tuple(rows[index][k] for k in range(operands) for index in run)
            results = tuple(first + places[index] for index in run)
            self._place(Unit(name, parameters[run[0]], ordered, results, True))

    def _level(self, rows: Iterable[Row]) -> int:
        reached = [self.level[value] for row in rows for value in row.values.tolist()]
        level = 1 + max(reached, default=0)
        if level > MAX_LAYERS:
            raise UserError(f"it has more than {MAX_LAYERS} layers; give a smaller policy")
        return level

    def _place(self, unit: Unit) -> None:
        level = self._level(unit.rows)
        for row in unit.rows:
            for value in row.values.tolist():
                self.last_use[value] = max(self.last_use[value], level - 1)
        for value in unit.results:
            self.level[value] = level
            self.unit_of[value] = unit
        self.units[level].append(unit)

    def _row(self, terms: list[tuple[int, float, float, float]], opened: bool = False) -> Row:
        """Return the sum of terms scale * (atom + shift) + offset, as weights of values.

        opened: whether to use the first term's own sum although it is a value too.
        """
        values: list[NDArray[np.int64]] = []
        weights: list[Float64] = []
        bias, waiting, share = 0.0, list(terms), None
        while waiting:
            atom, scale, shift, offset = waiting.pop()
            bias += offset
            if atom == NOTHING:
                continue
            step = self.program.step_of(atom)
            if not (opened or self.uses.is_absorbed(step, atom)):
                value, rest = self._value(atom, scale, shift, offset)
                values.append(np.array([value]))
                weights.append(np.array([rest[0]]))
                bias += rest[1] - offset
                continue
            opened = False
            bias += scale * shift
            if isinstance(step, Dense):
                symbol, total = self._inputs_of(step)
                own = scale * step.weight[atom - step.first].astype(np.float64)
                values.append(symbol.atom)
                weights.append(own * symbol.scale)
                bias += float(own @ total)
                bias += 0.0 if step.bias is None else scale * float(step.bias[atom - step.first])
            elif isinstance(step, Convolve):
                read, own, added = step.terms_of(atom)
                symbol, total = self._inputs_of(step)
                values.append(symbol.atom[read])
                weights.append(scale * own * symbol.scale[read])
                bias += scale * (float(own @ total[read]) + added)
                if len(terms) == 1 and atom == terms[0][0]:
                    share = share_of(step, *terms[0])
            elif isinstance(step, Total):
                inner = _terms(step.terms, atom - step.first)
                waiting += [(a, scale * s, p, scale * o) for a, s, p, o in inner]
        return _combined(values, weights, bias, share)

    def _inputs_of(self, step: Dense | Convolve) -> tuple[Symbol, Float64]:
        """Return the layer's inputs as scaled values, and what is added to each."""
        if step.first not in self._inputs:
            symbol = step.inputs
            found = [
                self._value(a, s, p, o) if a != NOTHING else (NOTHING, (0.0, o))
                for a, s, p, o in _flat_terms(symbol)
            ]
            atoms = np.array([value for value, _ in found], np.int64)
            scale = np.array([rest[0] for _, rest in found])
            total = np.array([rest[1] for _, rest in found])
            resolved = replace(symbol, atom=atoms, scale=scale, offset=total)
            self._inputs[step.first] = resolved, total
        return self._inputs[step.first]

    def _value(
        self, atom: int, scale: float, shift: float, offset: float
    ) -> tuple[int, tuple[float, float]]:
        """Return (value, (scale, total)): the atom, normalised if it is an observation. A large
        number is subtracted from it first if adding it as a bias would lose digits."""
        if atom < len(self._normalised) and self._normalised[atom]:
            return atom, (scale * float(self.uses.normaliser.scale[atom]), 0.0)
        if shift == 0 or abs(scale * shift) < CENTRED_FROM:
            return atom, (scale, scale * shift + offset)
        key = (atom, shift)
        if key not in self._centred:
            self._centred[key] = len(self.level)
            self.level.append(0)
            self.last_use.append(0)
            row = Row(np.array([atom]), np.ones(1), shift)
            self._place(Unit("identity", (), (row,), (self._centred[key],), True))
        return self._centred[key], (scale, offset)

    def layers(self, actions: list[Action]) -> tuple[Layer, ...]:
        outputs = [action.atom for action in actions]
        depth = max([1, *(self.level[atom] for atom in outputs if atom != NOTHING)])
        last = self._last(actions, depth)
        if last is None:
            depth += 1
            last = [_carrying(atom) for atom in outputs]
        for atom in outputs:
            if atom != NOTHING and self.level[atom] < depth:
                self.last_use[atom] = max(self.last_use[atom], depth - 1)
        plan = [*(self._layer(level) for level in range(1, depth)), last]
        given = [list(range(len(self._normalised)))]
        images: list[Image | None] = []
        for units in plan:
            image = self._image(units, given[-1])
            results = [value for unit in units for value in unit.results]
            images.append(image)
            given.append(results if image is None else image.results)
        numbers = weights = 0
        for before, units, image in zip(given, plan, images, strict=False):
            rows = [row for unit in units for row in unit.rows]
            numbers += len(before) * len(rows) if image is None else image.size
            weights += sum(len(row.values) for row in rows) if image is None else image.size
        if weights > MAX_WEIGHTS or numbers > MAX_NUMBERS:
            raise UserError(
                f"its layers would hold {numbers} numbers; a policy for a microcontroller has at "
                f"most {MAX_WEIGHTS} weights (values that are carried past a layer count too"
                f"{self._unrolled(images)})"
            )
        return tuple(
            _built(units, before) if image is None else image.layer()
            for units, before, image in zip(plan, given, images, strict=False)
        )

    def _image(self, units: list[Unit], given: list[int]) -> Image | None:
        """Return the convolution that makes up a whole layer; otherwise each of its sums is a
        neuron with its own weights."""
        if len(units) != 1 or not units[0].divisible:
            return None
        unit = units[0]
        shares = [row.share for row in unit.rows if row.share is not None]
        if not shares or len(shares) < len(unit.results) or len(unit.rows) > len(shares):
            return None
        symbol, total = self._inputs_of(shares[0].step)
        kind = (unit.activation, unit.parameters)
        return convolved(kind, shares, unit.results, symbol, total, given)

    def _unrolled(self, images: list[Image | None]) -> str:
        """Say for a message whether a convolution was unrolled."""
        steps = [step for step in self.program.steps if isinstance(step, Convolve)]
        once = sum(image is not None for image in images)
        if sum(self.uses.kept(step).size > 0 for step in steps) == once:
            return ""
        return "; a convolution that other values pass by takes weights for each place"

    def _layer(self, level: int) -> list[Unit]:
        """Return the units of a layer, followed by what is carried past it."""
        own, last = np.array(self.level), np.array(self.last_use)
        carried = np.flatnonzero((own < level) & (level <= last))
        return self.units[level] + [_carrying(value) for value in carried.tolist()]

    def _last(self, actions: list[Action], depth: int) -> list[Unit] | None:
        """Return the last layer's units, with their results in the order of the actions; None if
        dependent results are needed in another order, or only some of them."""
        units: list[Unit] = []
        place = 0
        while place < len(actions):
            atom = actions[place].atom
            if atom == NOTHING or self.level[atom] < depth:
                units.append(_carrying(atom, actions[place].offset if atom == NOTHING else 0.0))
                place += 1
                continue
            unit = self.unit_of[atom]
            wanted = tuple(a.atom for a in actions[place : place + len(unit.results)])
            if wanted == unit.results:
                units.append(unit)
                place += len(unit.results)
            elif unit.divisible:
                units.append(_part(unit, unit.results.index(atom)))
                place += 1
            else:
                return None
        return units


def _limits(program: Program, step: Function) -> Function:
    """Simplify limits between layers: those of a relu become a pair, and from 0 up a single one."""
    low, high = (np.broadcast_to(p, step.count) for p in step.parameters)
    inputs = step.inputs
    made = program.made_by(inputs.part(0), "relu") if inputs.is_plain else None
    if made is not None:
        inputs = made.operands[0].part(None)
        low, high = (np.minimum(np.maximum(limit, low), high) for limit in (0.0, GREATEST))
    if (low == 0).all() and (high >= GREATEST).all():
        return Function(step.first, step.count, "relu", inputs)
    return Function(step.first, step.count, "clip", inputs, (low, high))


def _at(step: Function, place: int) -> tuple[float, ...]:
    """Return the parameters of one element; a missing limit is float32's greatest number."""
    found = (p if isinstance(p, float) else float(p[place]) for p in step.parameters)
    return tuple(float(np.clip(p, LOWEST, GREATEST)) for p in found)


def _terms(symbol: Symbol, row: int) -> Iterator[tuple[int, float, float, float]]:
    return _flat_terms(symbol.moved(lambda values: values[row]))


def _flat_terms(symbol: Symbol) -> Iterator[tuple[int, float, float, float]]:
    return zip(
        symbol.atom.tolist(),
        symbol.scale.tolist(),
        symbol.shift.tolist(),
        symbol.offset.tolist(),
        strict=True,
    )


def _combined(
    values: list[NDArray[np.int64]],
    weights: list[Float64],
    bias: float,
    share: Share | None = None,
) -> Row:
    """Add the weights of a value that occurs several times."""
    if not values:
        return Row(np.zeros(0, np.int64), np.zeros(0), bias)
    all_values, all_weights = np.concatenate(values), np.concatenate(weights)
    known = all_values != NOTHING
    found, where = np.unique(all_values[known], return_inverse=True)
    summed = np.bincount(where.reshape(-1), all_weights[known], len(found))
    return Row(found, summed.astype(np.float64), bias, share)


def _carrying(value: int, bias: float = 0.0) -> Unit:
    if value == NOTHING:
        return Unit(
            "identity", (), (Row(np.zeros(0, np.int64), np.zeros(0), bias),), (NOTHING,), True
        )
    return Unit("identity", (), (Row(np.array([value]), np.ones(1), 0.0),), (value,), True)


def _part(unit: Unit, index: int) -> Unit:
    """Return one result of a unit, with its operands."""
    rows = unit.rows[index :: len(unit.results)]
    return Unit(unit.activation, unit.parameters, rows, (unit.results[index],), True)


def _built(units: list[Unit], given: list[int]) -> Layer:
    """Build the layer of these units, which reads the values `given`, in that order."""
    rows = [row for unit in units for row in unit.rows]
    place = {value: index for index, value in enumerate(given)}
    weight = np.zeros((len(rows), len(given)))
    for index, row in enumerate(rows):
        weight[index, [place[value] for value in row.values.tolist()]] = row.weights
    segments = tuple(Segment(len(unit.rows), unit.activation, unit.parameters) for unit in units)
    bias = np.array([row.bias for row in rows])
    return Layer(weight, bias, segments=segments)  # type: ignore[arg-type]
