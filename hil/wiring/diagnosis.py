"""Diagnose the wiring from the encoders' responses to a few pushes.

Forward is where a positive duty drives the base, by definition. So the base's encoder is judged by
the motor, and the pole's by the base: a hanging pole whose hinge is accelerated stays behind. Its
answer is computed from the base's own counts, by

    φ'' = -ω² φ + s k x'',    ω² = m g / J,    k = m / J times the hinge's metres a unit of x

with φ from hanging, m the pole's moment (kg m), J its inertia about the hinge, x where the base is
and s = ±1 the sense of the model; with u = φ - s k x no derivative of counts is needed:
u'' = -ω² (u + s k x).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from sparsectl.hil.wiring.strokes import DITHER, Stroke
from sparsectl.plants.gravity import GRAVITY
from sparsectl.plants.plant import Plant
from sparsectl.plants.rig import Rig

Verdict = Literal["right", "reversed", "unplugged", "unknown"]
Floats = NDArray[np.float64]

ANSWER_COUNTS: Final = 6.0
"""An expected swing of the pole under this says nothing."""
AGREEMENT: Final = 0.5
"""Least correlation of the expected and the measured swing, of either sign."""
_STEPS: Final = 8


@dataclass(frozen=True)
class Diagnosis:
    """The verdict on each encoder, and whether the motor was seen to drive."""

    motor_drives: bool
    base: Verdict
    pole: Verdict


def judge(rig: Rig, strokes: Sequence[Stroke]) -> Diagnosis:
    """Return the diagnosis of the rig's motor and encoders, relative to the signs in its file."""
    base = judge_base(rig, strokes)
    if base in ("right", "reversed"):
        flip = 1 if base == "right" else -1
        return Diagnosis(True, base, judge_pole(rig, strokes, flip))
    swung = max((abs(stroke.pole_swung) for stroke in strokes), default=0)
    if base == "unplugged" and swung > 2 * DITHER:  # something has shaken the pole
        return Diagnosis(True, "unplugged", judge_pole(rig, strokes, None))
    return Diagnosis(False, "unknown", "unknown")


def judge_base(rig: Rig, strokes: Sequence[Stroke]) -> Verdict:
    """Determine whether the base counts in the direction of the motor: each push that moved it must
    agree."""
    forward = math.copysign(1.0, rig.base.unit_per_count)
    ways = [forward * stroke.base_moved * stroke.direction for stroke in strokes]
    moved = [way for way in ways if abs(way) > DITHER]
    if not moved:
        return "unplugged"
    if min(moved) > 0:
        return "right"
    return "reversed" if max(moved) < 0 else "unknown"


def judge_pole(rig: Rig, strokes: Sequence[Stroke], base_flip: int | None) -> Verdict:
    """Determine whether the pole swings as the base's motion makes it.

    Args:
        rig: as its file has it.
        strokes: what was seen.
        base_flip: -1 where the base's counts are reversed; None: they are silent, and the base
            moves as the rig's model does under the same duties.
    """
    whole = _joined(strokes)  # the pole swings on from one push into the next
    wanted = _swing(rig, whole, base_flip) if base_flip else _simulated_swing(rig, whole)
    seen = np.array(whole.pole_counts, dtype=float) - whole.pole_counts[0]
    largest = float(np.max(np.abs(wanted), initial=0.0))
    if largest < ANSWER_COUNTS:
        return "unknown"
    if float(np.max(np.abs(seen))) <= DITHER:
        return "unplugged"
    agreement = float(wanted @ seen / (np.linalg.norm(wanted) * np.linalg.norm(seen)))
    if abs(agreement) < AGREEMENT:
        return "unknown"
    return "right" if agreement > 0 else "reversed"


def _joined(strokes: Sequence[Stroke]) -> Stroke:
    whole = Stroke(0)
    for stroke in strokes:
        whole.ticks += stroke.ticks
        whole.base_counts += stroke.base_counts
        whole.pole_counts += stroke.pole_counts
        whole.duties += stroke.duties
    return whole


def _swing(rig: Rig, stroke: Stroke, base_flip: int) -> Floats:
    """Counts of the pole that the counted motion of the base makes, at each tick of the stroke."""
    pole, sense = rig.pole, rig.firmware_constants().pole_sense
    pull = pole.moment_kgm / pole.inertia_kgm2
    omega2, gain = pull * GRAVITY, sense * pull * rig.lever_m
    position = (np.array(stroke.base_counts, dtype=float) - stroke.base_counts[0]) * (
        base_flip * rig.base.unit_per_count
    )
    times_s = (np.array(stroke.ticks) - stroke.ticks[0]) * rig.period_s
    u = u_velocity = 0.0
    swing = [0.0]
    for index in range(1, len(times_s)):
        step_s = (times_s[index] - times_s[index - 1]) / _STEPS
        for part in range(_STEPS):
            share = (part + 0.5) / _STEPS
            x = position[index - 1] + share * (position[index] - position[index - 1])
            u_velocity -= omega2 * (u + gain * x) * step_s
            u += u_velocity * step_s
        swing.append(u + gain * position[index])
    return np.array(swing) / abs(rig.pole_rad_per_count)


def _simulated_swing(rig: Rig, stroke: Stroke) -> Floats:
    """Return the same swing if the base's encoder is silent: simulated by the rig's model, under
    the same duties."""
    plant = Plant(rig)
    plant.reset(0)
    plant.hang()
    start, swing, time_s = plant.counts()[1], [0.0], 0.0
    for index in range(1, len(stroke.ticks)):
        plant.set_duty(stroke.duties[index - 1])
        now_s = (stroke.ticks[index] - stroke.ticks[0]) * rig.period_s
        plant.advance(now_s - time_s)
        time_s = now_s
        swing.append(float(plant.counts()[1] - start))
    return np.array(swing)
