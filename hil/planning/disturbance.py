"""Plan kicks: when they come, and how hard they are for a rig."""

from __future__ import annotations

import math
import random

from sparsectl.hil.journal.header import Kick
from sparsectl.plants.plant import Plant
from sparsectl.plants.rig import Rig

QUIET_S = 2.0
"""No kick within this time after the capture."""
KNOCK = 0.08
"""Velocity that a kick gives a standing pole, as a share of the rig's pole velocity scale."""


def plan_kicks(
    count: int, seconds: float, duty: float, kick_s: float, period_s: float, seed: int
) -> list[Kick]:
    """Spread kicks over the balancing time: one in each equal part, at random near its middle.

    After the last kick there is time for a recovery, unless the trial is too short.
    """
    dice = random.Random(seed)
    ticks = max(1, round(kick_s / period_s))
    first = min(QUIET_S, seconds / 4)
    part = (seconds - 2 * first) / max(count, 1)
    kicks = []
    for number in range(count):
        after_s = first + part * (number + 0.5 + dice.uniform(-0.25, 0.25))
        kicks.append(Kick(round(after_s, 3), duty * dice.choice((-1.0, 1.0)), ticks))
    return kicks


def knocking_duty(rig: Rig, kick_s: float) -> float:
    """Return the duty that, applied for `kick_s`, accelerates the standing pole to `KNOCK` of its
    velocity scale.

    The same duty moves a cart a little and whirls a small arm around, so the duty is found by
    simulation, to within a hundredth; it is the motor's full duty if even that does less.
    """
    for hundredths in range(5, round(100 * rig.motor.max_duty)):
        if _knocked_velocity(rig, hundredths / 100, kick_s) >= KNOCK * rig.pole.velocity_scale:
            return hundredths / 100
    return rig.motor.max_duty


def _knocked_velocity(rig: Rig, duty: float, kick_s: float) -> float:
    plant = Plant(rig)
    plant.reset(0)
    plant.data.qpos[:] = 0.0
    plant.data.qvel[:] = 0.0
    plant.set_duty(duty)
    plant.advance(kick_s)
    return math.fabs(plant.state()[3])
