"""What a program reads of its steps: which atoms, how often; and the observation's normaliser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sparsectl.policy.activations import Float64
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

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Normaliser:
    """(observation - offset) / scale: what every use of an observation does to it first."""

    scale: Float64
    offset: Float64

    def of_first(self, count: int) -> Normaliser:
        """Return the normaliser of the first values alone."""
        return Normaliser(self.scale[:count], self.offset[:count])


@dataclass
class Uses:
    """Which atoms are read, how often, and how observations are normalised."""

    program: Program
    outputs: list[int]
    frames: int
    observed: int | None = None
    """Values of the observation; others that are given are a state's. None: there is no state."""
    live: Flags = field(init=False)
    uses: NDArray[np.int64] = field(init=False)
    normaliser: Normaliser = field(init=False)

    def __post_init__(self) -> None:
        self.live = np.zeros(self.program.atoms, bool)
        self.uses = np.zeros(self.program.atoms, np.int64)
        for atom in self.outputs:
            if atom != NOTHING:
                self.live[atom] = True
                self.uses[atom] += 2
        for step in reversed(self.program.steps):
            for symbol in self._inputs(step):
                atoms = symbol.atom[~symbol.constant]
                self.live[atoms] = True
                np.add.at(self.uses, atoms, 2 if isinstance(step, (Dense, Convolve)) else 1)
        self.normaliser = self._normaliser()

    def kept(self, step: Step) -> NDArray[np.intp]:
        """Return the places in a step of the atoms that are read."""
        return np.flatnonzero(self.live[step.first : step.first + step.count])

    def _inputs(self, step: Step) -> Iterator[Symbol]:
        """Yield what the step reads for those of its atoms that are read."""
        kept = self.kept(step)
        if not kept.size or isinstance(step, Observe):
            return
        if isinstance(step, (Dense, Convolve)):
            yield step.inputs
        elif isinstance(step, Total):
            yield step.terms.moved(lambda values: values[kept])
        elif isinstance(step, Function):
            yield step.inputs if step.is_whole else step.inputs.moved(lambda v: v[:, kept])

    def is_absorbed(self, step: Step, atom: int) -> bool:
        """Return whether a sum is read only once, by another sum, and so needs no neuron of its
        own."""
        return isinstance(step, (Dense, Convolve, Total)) and bool(self.uses[atom] == 1)

    def _normaliser(self) -> Normaliser:
        """Take the normaliser from the first use of each observation; it is the identity where uses
        differ."""
        size = sum(step.count for step in self.program.steps if isinstance(step, Observe))
        found = np.full((3, size), np.nan)
        differs = np.zeros(size, bool)
        for step in self.program.steps:
            for symbol in self._inputs(step):
                flat = symbol.flat()
                inside = (flat.atom >= 0) & (flat.atom < size)
                atoms = flat.atom[inside]
                maps = np.stack([flat.scale, flat.shift, flat.offset])[:, inside]
                for atom, own in zip(atoms.tolist(), maps.T, strict=True):
                    differs[atom] |= bool((found[:, atom] != own).any() & ~np.isnan(found[0, atom]))
                    found[:, atom] = own
        for atom in self.outputs:
            if 0 <= atom < size:
                differs[atom] = True
        used = ~np.isnan(found[0]) & ~differs & (np.nan_to_num(found[0]) > 0)
        scale = np.where(used, 1 / np.where(used, found[0], 1.0), 1.0)
        offset = np.where(used, -(found[1] + found[2] * scale), 0.0)
        scale, offset = _snapped(scale), _snapped(offset)
        if self.observed is not None:
            used[self.observed :] = False
        in_range = (np.abs(scale) < 1e30) & (scale > 1e-30) & (np.abs(offset) < 1e30)
        same = used & in_range
        observed = size if self.observed is None else self.observed
        if observed % self.frames:
            same[:] = False
        elif self.frames > 1:
            by_frame = [v[:observed].reshape(self.frames, -1) for v in (scale, offset, same)]
            equal = np.all([(v == v[0]).all(axis=0) for v in by_frame], axis=0)
            same[:observed] &= np.tile(equal, self.frames)
        return Normaliser(np.where(same, scale, 1.0), np.where(same, offset, 0.0))


def _snapped(values: Float64) -> Float64:
    """Round to float32 where float64 differs by rounding alone: 1 / (1 / x) becomes x."""
    with np.errstate(all="ignore"):
        near = values.astype(np.float32).astype(np.float64)
    return np.where(np.abs(near - values) <= 1e-13 * np.abs(values), near, values)
