"""What a policy that keeps a state meets: sequences of observations, and of each tick the state
that it begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sparsectl.export.calibration import read_sequences
from sparsectl.export.inputs import CALIBRATION, LIMITS, Inputs
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.sequences import Tick, run_sequence

LONGEST: Final = 1000
"""Ticks of the longest sequence: 20 s of a period of 20 ms."""
SHORTEST: Final = 8


@dataclass(frozen=True)
class Sequences:
    """Observations tick after tick."""

    observations: Float32
    """[ticks, observation_size]"""
    resets: NDArray[np.bool_]
    """[ticks]: whether the state is reset before the tick."""

    @property
    def count(self) -> int:
        """Return the number of sequences, each from a reset to the next."""
        return int(self.resets.sum())

    @property
    def longest(self) -> int:
        """Return the number of ticks of the longest."""
        starts = [*np.flatnonzero(self.resets).tolist(), len(self.resets)]
        return int(np.diff(starts).max())

    def rows(self, tick: Tick, reset_state: NDArray[np.floating]) -> Float32:
        """What each tick takes, [ticks, observation_size + state_size], if the state is as `tick`
        hands it on."""
        states = run_sequence(tick, reset_state, self.observations, self.resets).states
        return np.concatenate([self.observations, states.astype(np.float32)], axis=1)


def sequences(inputs: Inputs, count: int, seed: int, *, for_scales: bool = False) -> Sequences:
    """`count` ticks as the policy meets them: of a calibration file stretches of its rows as they
    follow one another, others `for_scales` than not; else made up between the signals' limits.

    Made-up sequences are of several kinds, one after another: every tick drawn anew, values held
    and changed now and then, walks, and waves, so that the state is driven to its ends and left
    alone.
    """
    generator = np.random.default_rng(seed)
    if inputs.calibration is not None:
        rows, resets = read_sequences(inputs.calibration, len(inputs.low), count, for_scales)
        return Sequences(rows, resets)
    resets = _resets(count, generator)
    starts = [*np.flatnonzero(resets).tolist(), count]
    white = inputs.spread(count, seed).astype(np.float64)
    parts = []
    for index, (start, end) in enumerate(zip(starts, starts[1:], strict=False)):
        kind = _KINDS[index % len(_KINDS)]
        parts.append(kind(white[start:end], inputs.low, inputs.high, generator))
    observations = np.clip(np.concatenate(parts), inputs.low, inputs.high)
    return Sequences(observations.astype(np.float32), resets)


def tick_inputs(inputs: Inputs, rows: Float32) -> Inputs:
    """Return the known properties of a tick's inputs; those of the state are from its values in
    `rows`."""
    states = rows[:, len(inputs.low) :].astype(np.float64)
    low, high = states.min(axis=0), states.max(axis=0)
    of_states = [LIMITS] * states.shape[1]
    return replace(
        inputs,
        low=np.concatenate([inputs.low, low]),
        high=np.concatenate([inputs.high, high]),
        offset=np.concatenate([inputs.offset, (low + high) / 2]),
        scale=np.concatenate([inputs.scale, np.maximum((high - low) / 6, 1e-6)]),
        kinds=(*(LIMITS if kind == CALIBRATION else kind for kind in inputs.kinds), *of_states),
        names=(*inputs.names, *(f"state{index}" for index in range(states.shape[1]))),
        calibration=None,
        kept=None,
    )


def _resets(count: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Return resets at random ticks: between them sequences of very different lengths, the first
    the longest."""
    resets = np.zeros(count, bool)
    place, length = 0, min(LONGEST, max(1, count // 4))
    while place < count:
        resets[place] = True
        place += length
        length = int(np.exp(generator.uniform(np.log(SHORTEST), np.log(max(LONGEST // 2, 9)))))
    return resets


_Kind = Callable[[Float64, Float64, Float64, np.random.Generator], Float64]


def _white(drawn: Float64, low: Float64, high: Float64, generator: np.random.Generator) -> Float64:
    return drawn


def _held(drawn: Float64, low: Float64, high: Float64, generator: np.random.Generator) -> Float64:
    """Repeat each draw for up to 100 ticks."""
    changes = generator.random(len(drawn)) < generator.choice([0.01, 0.05, 0.2])
    changes[:1] = True
    return drawn[np.maximum.accumulate(np.where(changes, np.arange(len(drawn)), 0))]


def _walk(drawn: Float64, low: Float64, high: Float64, generator: np.random.Generator) -> Float64:
    """Steps of a hundredth to a tenth of the range, turned back at its ends."""
    size = np.exp(generator.uniform(np.log(0.01), np.log(0.1))) * (high - low)
    steps = size * generator.standard_normal(drawn.shape)
    steps[:1] = drawn[:1] - low
    span = np.where(high > low, high - low, 1.0)
    folded = np.mod(np.cumsum(steps, axis=0), 2 * span)
    return np.asarray(low + np.where(folded > span, 2 * span - folded, folded), np.float64)


def _wave(drawn: Float64, low: Float64, high: Float64, generator: np.random.Generator) -> Float64:
    """Return a sum of waves with periods from 4 to 400 ticks."""
    period = np.exp(generator.uniform(np.log(4), np.log(400), low.shape))
    angle = 2 * np.pi * np.arange(len(drawn))[:, None] / period
    phase = generator.uniform(0, 2 * np.pi, low.shape)
    return np.asarray((low + high) / 2 + (high - low) / 2 * np.sin(angle + phase), np.float64)


_KINDS: Final[tuple[_Kind, ...]] = (_white, _held, _walk, _wave)
