"""The observations that a policy meets, and what is known of them: from a calibration file, else
from limits, else from the model's normaliser, else over many scales."""

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
"""The surest first. An export's `inputs_from` is the least sure of its signals'."""

REACH: Final = {LIMITS: 1.0, NORMALISER: 12.0, SCALES: 1e6}
"""How far a search for thresholds goes: times the range, the normaliser's scale, and 1."""
STANDARD_DEVIATIONS: Final = 3.0
"""From a normaliser's offset to the ends of what is taken for its signal's range."""
SCALE_STEPS: Final = 10.0 ** np.arange(-4, 7)
WIDER: Final = (1e-2, 10.0, 1e3)
"""Times a known range, where the policy as read must still be the file's."""
WIDE_ROWS: Final = 192
_MOST_VALUES: Final = 1_000_000


@dataclass(frozen=True)
class Batch:
    """Observations of one kind, [count, observation_size]."""

    name: str
    observations: Float32
    judged_by: Literal["own", "met", "either"] = "own"
    """The actions whose range an error is a share of: those of this batch, those of the
    observations that the policy meets, or whichever is the wider."""
    is_astride: bool = False
    """Whether they lie beside places where the source's action may jump, among those that the
    policy meets: what rounds weights moves such a place, and is judged there too."""


@dataclass(frozen=True)
class Inputs:
    """What is known of each element of the observation, [observation_size]."""

    low: Float64
    high: Float64
    offset: Float64
    scale: Float64
    kinds: tuple[str, ...]
    names: tuple[str, ...]
    """Of the signals, an element each."""
    calibration: Path | None = None
    kept: Float32 | None = None
    """Of the calibration file, what fixed-point scales are chosen by, [count, observation_size]."""

    @property
    def known_from(self) -> str:
        """calibration, limits, normaliser or scales."""
        if self.calibration is not None:
            return CALIBRATION
        return max(self.kinds, key=KINDS.index)

    @property
    def unknown(self) -> tuple[str, ...]:
        """The signals of which nothing is known."""
        if self.calibration is not None:
            return ()
        pairs = zip(self.names, self.kinds, strict=True)
        return tuple(dict.fromkeys(name for name, kind in pairs if kind == SCALES))

    def for_scales(self, seed: int) -> Float32:
        """Observations that fixed-point scales are chosen by."""
        return (
            self.kept if self.kept is not None else self.spread(_fitting_count(len(self.low)), seed)
        )

    def met(self, count: int, seed: int) -> Float32:
        """Observations as the policy meets them; of a calibration file, at most as many of those
        that no scale was chosen by."""
        if self.calibration is not None:
            return other_observations(self.calibration, len(self.low), count)
        return self.spread(count, seed)

    def golden(self, count: int, seed: int) -> Float32:
        """For the golden vectors."""
        if self.calibration is None:
            return self.spread(count, seed)
        rows = self.met(_fitting_count(len(self.low)), seed)
        chosen = np.random.default_rng(seed).integers(0, len(rows), count)
        return np.ascontiguousarray(rows[chosen])

    def spread(self, count: int, seed: int) -> Float32:
        """Over the ranges; see `export.observations.spread`."""
        return spread(self.low, self.high, self.offset, self.scale, count, seed)

    def wider(self, seed: int) -> list[Batch]:
        """Observations at other scales than those met: what is elementwise in the file must be so
        in the policy wherever a value may come to."""
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
        """Where to search for thresholds, [observation_size] each: the lowest and the highest."""
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
    """What is known of the inputs of `graph`.

    ranges: `--range`, one for all signals or one a signal; they count as limits.
    known: low, high and kind of each signal, as an earlier export of the same policy had them.

    Raises:
        UserError: ranges for another number of signals; a calibration file that is none.
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
    """Rounded weights for signals of which nothing is known."""


def require_known(encoding: str, inputs: Inputs) -> None:
    """Refuse an encoding that rounds weights for signals of which nothing is known: what that
    costs is a share of what the actions span on the inputs that the policy meets.

    Raises:
        UnknownInputs: there are some; the mend is in the message.
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
            f"--range has {len(ranges)} ranges and the policy {signals} signals; give one for all "
            "or one a signal"
        )
    return ranges


def _plausible(limit: float | None) -> float:
    return limit if limit is not None and abs(limit) <= PLAUSIBLE_LIMIT else np.nan


def _batch(name: str, values: Float64, is_blind: np.bool_) -> Batch:
    """is_blind: nothing says which scale the policy meets, so each must be right by itself."""
    greatest = np.finfo(np.float32).max / 4
    observations = np.clip(values, -greatest, greatest).astype(np.float32)
    return Batch(name, observations, "own" if is_blind else "either")


def _fitting_count(size: int) -> int:
    """Of `COUNT` observations of `size` values as many as fit into memory beside the rest."""
    return min(COUNT, max(100, _MOST_VALUES // size))
