"""Which of the kicks that a trial was asked for came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsectl.hil.journal.journal import Journal
from sparsectl.hil.journal.trace import Trace

WITHIN_TICKS = 10
"""A kick whose answer was lost shows in the motor's duty by then, or it was not heard."""


@dataclass(frozen=True)
class Kicks:
    """Of one trial."""

    given: list[dict[str, Any]]
    """The journal's notes of those that came: `time_us` of the board's clock, `duty`, `ticks`."""
    missed_after_s: list[float]
    """When those that never came were due, in seconds after the capture."""


def read_kicks(journal: Journal, active: Trace) -> Kicks:
    """What was asked for in the header, and what came of it.

    Args:
        journal: of a trial.
        active: its ticks in which the policy drove the motor.
    """
    asked = [kick.after_s for kick in journal.header.kicks]
    notes = journal.notes("kick")
    came = [note.get("confirmed", True) or _shows(note, journal, active) for note in notes]
    missed = [due for due, it_came in zip(asked, came, strict=False) if not it_came]
    return Kicks(
        given=[note for note, it_came in zip(notes, came, strict=True) if it_came],
        missed_after_s=missed + asked[len(notes) :],
    )


def _shows(note: Mapping[str, Any], journal: Journal, active: Trace) -> bool:
    """Whether soon after it the motor's duty was another than the policy's."""
    rig = journal.header.rig_constants
    window_us = WITHIN_TICKS * rig.period_us
    soon = (active.time_us >= note["time_us"]) & (active.time_us <= note["time_us"] + window_us)
    wanted = np.clip(active.policy_output[soon], -rig.max_duty, rig.max_duty)
    return bool(np.any(np.abs(active.duty[soon] - wanted) > 1e-6))
