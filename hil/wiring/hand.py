"""Tests by hand: whether an encoder counts at all while the motor is off."""

from __future__ import annotations

import math

from sparsectl.common.progress import Progress
from sparsectl.hil.drives.drives import Drive
from sparsectl.hil.drives.terminal import say
from sparsectl.hil.journal.trace import Sample
from sparsectl.plants.rig import Rig

LIVE_COUNTS = 10
"""Counts that a hand's push makes at the least."""
HAND_S = 20.0
"""Time for a person to do what the program asks."""
TIP_RAD = 0.1
"""How far the pole's tip has to be held aside."""
HELD_S = 0.5


def is_counting(drive: Drive, axis: str, ask: str, limit_s: float = HAND_S) -> bool:
    """Ask for a push and say whether the encoder of `axis` ("base" or "pole") counts it."""
    first = next_sample(drive)
    start = last = first
    say(ask)
    with Progress(bar_format=f"{ask}: {{postfix}}") as bar:
        while last.time_us - first.time_us < limit_s * 1e6:
            last = next_sample(drive)
            moved = abs(_count(last, axis) - _count(start, axis))
            bar.set_postfix_str(f"{moved} counts", refresh=False)
            bar.update()
            if moved >= LIVE_COUNTS:
                return True
    return False


def held_aside(drive: Drive, rig: Rig, ask: str, limit_s: float = HAND_S) -> int:
    """Ask for the pole's tip to be held aside, and return the sign of its counts; 0 if nobody
    did."""
    least = max(LIVE_COUNTS, math.ceil(TIP_RAD / abs(rig.pole_rad_per_count)))
    first = since = last = next_sample(drive)
    zero = first.pole_count
    say(ask)
    with Progress(bar_format=f"{ask}: {{postfix}}") as bar:
        while last.time_us - first.time_us < limit_s * 1e6:
            last = next_sample(drive)
            aside = last.pole_count - zero
            bar.set_postfix_str(f"{aside:+d} counts", refresh=False)
            bar.update()
            if abs(aside) < least or aside * (since.pole_count - zero) < 0:
                since = last
            elif last.time_us - since.time_us >= HELD_S * 1e6:
                return 1 if aside > 0 else -1
    return 0


def _count(sample: Sample, axis: str) -> int:
    return sample.base_count if axis == "base" else sample.pole_count


def next_sample(drive: Drive) -> Sample:
    """Return the next tick.

    Raises:
        LinkLost: the board has gone.
    """
    while True:
        if samples := drive.advance():
            return samples[-1]
