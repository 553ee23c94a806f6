"""Find out which of the planned kicks took place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsectl.hil.journal.journal import Journal
from sparsectl.hil.journal.trace import Trace

WITHIN_TICKS = 10
"""If the answer to a kick was lost, the kick changes the motor's duty within this time, or the
board did not receive it."""


@dataclass(frozen=True)
class Kicks:
    """The kicks of one trial."""

    given: list[dict[str, Any]]
    """The journal's notes of the kicks that took place: `time_us` of the board's clock, `duty`,
    `ticks`."""
    missed_after_s: list[float]
    """When the missed kicks were due, in seconds after the capture."""


def read_kicks(journal: Journal, active: Trace) -> Kicks:
    """Return the kicks planned in the header, and which of them took place.

    Args:
        journal: the trial's.
        active: the ticks in which the policy drove the motor.
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
    """Return whether the motor's duty differed from the policy's soon after the kick."""
    rig = journal.header.rig_constants
    window_us = WITHIN_TICKS * rig.period_us
    soon = (active.time_us >= note["time_us"]) & (active.time_us <= note["time_us"] + window_us)
    wanted = np.clip(active.policy_output[soon], -rig.max_duty, rig.max_duty)
    return bool(np.any(np.abs(active.duty[soon] - wanted) > 1e-6))
