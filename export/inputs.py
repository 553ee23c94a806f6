"""Determine the observations that a policy encounters: from a calibration file, else from limits,
else from the model's normaliser, else over many scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.common.signal_ranges import Pair
from sparsectl.export.calibration import COUNT, other_observations, read_observations
from sparsectl.export.encodings.registry import FIXED
from sparsectl.export.observations import PLAUSIBLE_LIMIT, spread
from sparsectl.export.source.source import Normaliser
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.graph import PolicyGraph

CALIBRATION, LIMITS, NORMALISER, SCALES = "calibration", "limits", "normaliser", "scales"
KINDS: Final = (CALIBRATION, LIMITS, NORMALISER, SCALES)
"""The most certain first. `inputs_from` of an export is the least certain one among its signals."""

REACH: Final = {LIMITS: 1.0, NORMALISER: 12.0, SCALES: 1e6}
"""Reach of the search for thresholds, in units of the range, the normaliser's scale, or 1."""
STANDARD_DEVIATIONS: Final = 3.0
"""Distance from a normaliser's offset to the ends of the range that is assumed for its signal."""
SCALE_STEPS: Final = 10.0 ** np.arange(-4, 7)
WIDER: Final = (1e-2, 10.0, 1e3)
"""Factors of a known range within which the policy must still equal the file."""
WIDE_ROWS: Final = 192
_MOST_VALUES: Final = 1_000_000


@dataclass(frozen=True)
class Batch:
    """Observations of one kind, [count, observation_size]."""

    name: str
    observations: Float32
    judged_by: Literal["own", "met", "either"] = "own"
    """The actions whose range an error is relative to: those of this batch, those of the
    observations that the policy encounters, or whichever range is wider."""
    is_astride: bool = False
    """True if they lie on both sides of places where the source's action may jump, among those that
    the policy encounters: rounded weights move such a place, so they are judged there too."""


@dataclass(frozen=True)
class Inputs:
    """The known properties of each element of the observation, [observation_size]."""

    low: Float64
    high: Float64
    offset: Float64
    scale: Float64
    kinds: tuple[str, ...]
    names: tuple[str, ...]
    """Names of the signals, one per element."""
    calibration: Path | None = None
    kept: Float32 | None = None
    """Observations of the calibration file by which fixed-point scales are chosen, [count,
    observation_size]."""

    @property
    def known_from(self) -> str:
        """calibration, limits, normaliser or scales."""
        if self.calibration is not None:
            return CALIBRATION
        return max(self.kinds, key=KINDS.index)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Return the signals about which nothing is known."""
        if self.calibration is not None:
            return ()
        pairs = zip(self.names, self.kinds, strict=True)
        return tuple(dict.fromkeys(name for name, kind in pairs if kind == SCALES))

    def for_scales(self, seed: int) -> Float32:
        """Return the observations by which fixed-point scales are chosen."""
        return (
            self.kept if self.kept is not None else self.spread(_fitting_count(len(self.low)), seed)
        )

    def met(self, count: int, seed: int) -> Float32:
        """Return observations as the policy encounters them; from a calibration file, at most as
        many as were not used for scales."""
        if self.calibration is not None:
            return other_observations(self.calibration, len(self.low), count)
        return self.spread(count, seed)

    def golden(self, count: int, seed: int) -> Float32:
        """Return the observations of the golden vectors."""
        if self.calibration is None:
            return self.spread(count, seed)
        rows = self.met(_fitting_count(len(self.low)), seed)
        chosen = np.random.default_rng(seed).integers(0, len(rows), count)
        return np.ascontiguousarray(rows[chosen])

    def spread(self, count: int, seed: int) -> Float32:
        """Return observations spread over the ranges; see `export.observations.spread`."""
        return spread(self.low, self.high, self.offset, self.scale, count, seed)

    def wider(self, seed: int) -> list[Batch]:
        """Return observations at other scales than those encountered: an elementwise function in
        the file must be one in the policy too, whatever the values."""
        generator = np.random.default_rng(seed)
        centre = (self.low + self.high) / 2
        half = np.maximum((self.high - self.low) / 2, np.finfo(np.float32).tiny)
        blind = np.array(self.kinds) == SCALES
        batches = []
        for step in SCALE_STEPS if blind.any() else WIDER:
            at = np.where(blind, 0.0, centre)
            size = np.where(blind, step, half * (1 if blind.any() else step))
            draw = generator.standard_normal((WIDE_ROWS, len(half)))
            batches.append(_batch(f"at scale {step:.3g}", at + size * draw, blind.any()))
        draw = generator.standard_normal((WIDE_ROWS, len(half)))
        steps = 10.0 ** generator.uniform(-4, 4, draw.shape)
        mixed = np.where(blind, 0, centre) + half * steps * draw
        batches.append(_batch("at mixed scales", mixed, blind.any()))
        return batches

    def box(self) -> tuple[Float64, Float64]:
        """Return the lowest and the highest values between which to search for thresholds,
        [observation_size] each."""
        if self.kept is not None:
            rows = self.kept.astype(np.float64)
            return rows.min(axis=0), rows.max(axis=0)
        reach = np.array([REACH[kind] for kind in self.kinds])
        limits = np.array(self.kinds) == LIMITS
        low = np.where(limits, self.low, self.offset - reach * self.scale)
        high = np.where(limits, self.high, self.offset + reach * self.scale)
        return low, high


def inputs_of(
    graph: PolicyGraph,
    normaliser: Normaliser | None,
    *,
    calibration: Path | None = None,
    ranges: Sequence[Pair] = (),
    known: Sequence[tuple[float, float, str]] = (),
) -> Inputs:
    """Return what is known about the inputs of `graph`.

    ranges: from `--range`, one for all signals or one per signal; they count as limits.
    known: low, high and kind of each signal from an earlier export of the same policy.

    Raises:
        UserError: the number of ranges does not match the signals, or the calibration file is not
            one.
    """
    size, signals = graph.observation_size, graph.observation
    lows, highs = ([getattr(s, end) for s in signals] for end in ("low", "high"))
    if ranges:
        pairs = _one_a_signal(ranges, len(signals))
        lows, highs = [pair.low for pair in pairs], [pair.high for pair in pairs]
    low = np.tile([_plausible(limit) for limit in lows], graph.frames)
    high = np.tile([_plausible(limit) for limit in highs], graph.frames)
    offset, scale = np.zeros(size), np.ones(size)
    if normaliser is not None:
        offset, scale = normaliser.offset, normaliser.scale
    limited = np.isfinite(low) & np.isfinite(high)
    otherwise = SCALES if normaliser is None else NORMALISER
    kinds = [LIMITS if each else otherwise for each in limited]
    low = np.where(np.isfinite(low), low, offset - STANDARD_DEVIATIONS * scale)
    high = np.where(np.isfinite(high), high, offset + STANDARD_DEVIATIONS * scale)
    if known and not ranges:
        for index, (least, greatest, kind) in enumerate(list(known) * graph.frames):
            if kinds[index] == SCALES and kind != SCALES:
                low[index], high[index] = least, greatest
                kinds[index] = LIMITS if kind == CALIBRATION else kind
                offset[index] = (least + greatest) / 2
                scale[index] = (greatest - least) / (2 * STANDARD_DEVIATIONS) or 1.0
    rows = None if calibration is None else read_observations(calibration, size)
    if rows is not None:
        for index in (place for place, kind in enumerate(kinds) if kind == SCALES):
            low[index], high[index] = rows[:, index].min(), rows[:, index].max()
            offset[index], scale[index] = rows[:, index].mean(), rows[:, index].std() or 1.0
            kinds[index] = CALIBRATION
    return Inputs(
        np.minimum(low, high),
        np.maximum(low, high),
        offset,
        scale,
        tuple(kinds),
        tuple(signal.name for signal in signals) * graph.frames,
        calibration,
        rows,
    )


class UnknownInputs(UserError):
    """Weights would be rounded although nothing is known about some signals."""


def require_known(encoding: str, inputs: Inputs) -> None:
    """Refuse an encoding that rounds weights if nothing is known about some signals: its error is
    judged relative to the actions' range on the inputs that the policy encounters.

    Raises:
        UnknownInputs: there are such signals; the message says what to do.
    """
    unknown = inputs.unknown
    if unknown:
        shown = ", ".join(unknown[:4]) + (", …" if len(unknown) > 4 else "")
        does = (
            "is in fixed point and cuts inputs off"
            if encoding in FIXED
            else "rounds weights, which is judged by the inputs that the policy meets"
        )
        raise UnknownInputs(
            f"encoding {encoding!r} {does}, and nothing says what "
            f"{shown} range{'s' if len(unknown) == 1 else ''} over; give --calibration FILE, or "
            "--range LOW,HIGH such as --range -5,5 (one for all signals or one a signal)"
        )


def _one_a_signal(ranges: Sequence[Pair], signals: int) -> Sequence[Pair]:
    if len(ranges) == 1:
        return list(ranges) * signals
    if len(ranges) != signals:
        raise UserError(
            f"--range has {len(ranges)} ranges, but the policy has {signals} signals; give one for "
            "all of them or one for each"
        )
    return ranges


def _plausible(limit: float | None) -> float:
    return limit if limit is not None and abs(limit) <= PLAUSIBLE_LIMIT else np.nan


def _batch(name: str, values: Float64, is_blind: np.bool_) -> Batch:
    """Make a batch of observations. With `is_blind` nothing says which scale the policy encounters,
    so that it must be right at each."""
    greatest = np.finfo(np.float32).max / 4
    observations = np.clip(values, -greatest, greatest).astype(np.float32)
    return Batch(name, observations, "own" if is_blind else "either")


def _fitting_count(size: int) -> int:
    """Return how many observations of `size` values, at most `COUNT`, fit into memory beside the
    rest."""
    return min(COUNT, max(100, _MOST_VALUES // size))
