"""Observations on both sides of every threshold of a source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsectl.export.source.source import Source
from sparsectl.policy.activations import Float32, Float64

ROUNDS = 5
"""Rounds of the search for the side of a threshold without observations."""
STEPS = (1.0, 0.3, 0.1, 0.03)
"""Lengths of a step, as shares of the box."""
DIRECTIONS = 64
"""Most elements of the observation along which a slope is measured."""
BISECTIONS = 12
KEPT_AFTER = (4, 8, 12)
"""Bisections after which both ends are kept: from a sixteenth to a four-thousandth of the way."""
MOST_PAIRS, MOST_PAIRS_EACH = 2048, 64
"""Most pairs of observations whose distance is bisected: for all thresholds, and for each."""
NEIGHBOURS = 64
"""Observations near a threshold, of which the nearest to one beyond it is paired with that."""


@dataclass(frozen=True)
class Straddling:
    """The result of the search."""

    observations: Float32
    """Some on each side of each threshold that was reached, near and far, [any, size]."""
    thresholds: int
    unreached: tuple[str, ...]
    """The thresholds for which one side was not found."""


def straddle(source: Source, known: Float32, low: Float64, high: Float64, seed: int) -> Straddling:
    """Look for observations on both sides of each of `source.thresholds` but those that a
    policy may well never meet.

    known: observations to begin from, [count, observation_size]; low, high: the box to search.
    """
    names = {i: name for i, name in enumerate(source.thresholds) if name not in source.unsought}
    if not names:
        return Straddling(known[:0], 0, ())
    margins = source.margins(known)
    search = _Search(source, low, high, np.random.default_rng(seed))
    ends, unreached = [], []
    for index, name in names.items():
        below = _nearest(known, margins[:, index], -1)
        above = _nearest(known, margins[:, index], 1)
        if below is None:
            below = search.reached(index, -1, known, margins[:, index])
        if above is None:
            above = search.reached(index, 1, known, margins[:, index])
        if below is None or above is None:
            unreached.append(name)
        else:
            ends.append((index, below, above))
    found = search.found + ([_between(source, ends)] if ends else [])
    observations = np.concatenate([known[:0], *found])
    return Straddling(observations, len(names), tuple(unreached))


def astride(source: Source, met: Float32) -> Float32:
    """Observations on both sides of each threshold and pole that lies among `met`, drawn together
    from many pairs of neighbours, [any, observation_size].

    Where the source's action jumps, or grows without bound, weights that are rounded move the place
    where it does; of 10,000 observations none may lie in between.
    """
    names = source.thresholds
    if not names or not len(met):
        return met[:0]
    margins = source.margins(met)
    each = int(np.clip(MOST_PAIRS // len(names), 1, MOST_PAIRS_EACH))
    spread = np.ptp(met.astype(np.float64), axis=0)
    ends = []
    for index in range(len(names)):
        below, above = (_nearest_rows(margins[:, index], sign, NEIGHBOURS) for sign in (-1, 1))
        if not len(above):
            continue
        beyond = met[above] / np.where(spread > 0, spread, 1.0)
        for place in below[:each]:
            here = met[place] / np.where(spread > 0, spread, 1.0)
            other = above[np.argmin(((beyond - here) ** 2).sum(axis=1))]
            ends.append((index, _row(met, int(place)), _row(met, int(other))))
    return _between(source, ends) if ends else met[:0]


def _nearest_rows(margins: Float64, sign: int, count: int) -> NDArray[np.intp]:
    """Return the places of the smallest margins of that sign, the smallest first."""
    usable = np.flatnonzero(np.isfinite(margins) & (sign * margins > 0))
    return usable[np.argsort(np.abs(margins[usable]))[:count]]


class _Search:
    """Climbs a margin towards the sign that it never has."""

    def __init__(
        self, source: Source, low: Float64, high: Float64, generator: np.random.Generator
    ) -> None:
        self._source, self._low, self._high = source, low, high
        self._generator = generator
        self.found: list[Float32] = []

    def reached(self, index: int, sign: int, known: Float32, margins: Float64) -> Float32 | None:
        """Return an observation where margin `index` has the sign, or None."""
        usable = np.where(np.isfinite(margins), sign * margins, -np.inf)
        best, most = known[np.argmax(usable)].astype(np.float64), float(np.max(usable))
        width = self._high - self._low
        for _ in range(ROUNDS):
            tried = self._steps(best, index, sign, width)
            values = self._values(tried, index, sign)
            place = int(np.argmax(values))
            if values[place] > 0:
                self.found.append(tried[place : place + 1])
                return _row(tried, place)
            if values[place] <= most:
                return None
            best, most = tried[place].astype(np.float64), float(values[place])
        return None

    def _steps(self, at: Float64, index: int, sign: int, width: Float64) -> Float32:
        """Return the steps to try: up the slope, by all elements alike and by each as much as it
        counts, and at random."""
        size = len(at)
        chosen = self._generator.permutation(size)[:DIRECTIONS]
        nudged = np.repeat(at[None], len(chosen) + 1, axis=0)
        rows = np.arange(len(chosen))
        outward = np.where(at[chosen] > (self._low + self._high)[chosen] / 2, -1.0, 1.0)
        nudge = 1e-2 * width[chosen] * outward
        nudged[rows, chosen] += nudge
        values = self._values(nudged.astype(np.float32), index, sign)
        slope = np.zeros(size)
        with np.errstate(all="ignore"):
            rise = np.nan_to_num((values[:-1] - values[-1]) / outward, posinf=0.0, neginf=0.0)
        slope[chosen] = rise
        steepest = np.abs(slope).max() or 1.0
        ways = [np.sign(slope), slope / steepest, *self._generator.uniform(-1, 1, (4, size))]
        tried = [at + step * width * way for way in ways for step in STEPS]
        return np.asarray(np.clip(tried, self._low, self._high), np.float32)

    def _values(self, rows: Float32, index: int, sign: int) -> Float64:
        values = sign * self._source.margins(rows)[:, index]
        return np.where(np.isfinite(values), values, -np.inf)


def _nearest(known: Float32, margins: Float64, sign: int) -> Float32 | None:
    """Return the observation with the smallest margin of that sign."""
    usable = np.where(sign * margins > 0, np.abs(margins), np.inf)
    place = int(np.argmin(usable))
    return _row(known, place) if np.isfinite(usable[place]) else None


def _row(rows: Float32, place: int) -> Float32:
    row: Float32 = rows[place]
    return row


def _between(source: Source, ends: list[tuple[int, Float32, Float32]]) -> Float32:
    """Bisect towards each threshold; return both ends of some of the steps."""
    indices = [index for index, _, _ in ends]
    below = np.array([low for _, low, _ in ends], np.float32)
    above = np.array([high for _, _, high in ends], np.float32)
    kept = [below, above]
    for bisection in range(1, BISECTIONS + 1):
        middle = (below / 2 + above / 2).astype(np.float32)
        margins = source.margins(middle)[np.arange(len(ends)), indices]
        is_above = (margins > 0)[:, None]
        above, below = np.where(is_above, middle, above), np.where(is_above, below, middle)
        if bisection in KEPT_AFTER:
            kept += [below, above]
    return np.concatenate(kept)
