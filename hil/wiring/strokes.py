"""Pushes the base a finger's breadth forth and back: what a host commands to see how it is wired.

The duty creeps up from 0 until the base moves, so that it is never more than it takes, and never
more than the board's own checks for a jam ask for. A base whose encoder says nothing is driven
blindly, so that push ends as soon as a rig without any friction would have gone a quarter of the
way to its limit, or the pole swings.

A driver whose PWM wire is held high drives fully as soon as it is enabled. So the first duty
lasts for one control tick, then the motor is off for a while; and a base that goes much farther
than the duty could have taken it without any friction is let go at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sparsectl.firmware_host.config_header import COMMAND_TICKS
from sparsectl.hil.drives.mover import GENTLE, SLOW_S
from sparsectl.plants.plant import Parameters, Plant
from sparsectl.plants.rig import Rig
from sparsectl.protocol.wire import Frame, State

DITHER = 1
"""Counts that an encoder at rest may flicker."""
LEAST_COUNTS = 4
"""Counts that the base has to move: enough to tell a move from a flicker."""
SWUNG_COUNTS = 8
"""Counts of the pole that prove that a base whose encoder is silent has moved."""
RAMP_S = 1.5
"""Time in which the duty creeps up to the most."""
PUSH_S = 2.0
"""Longest push."""
SETTLE_S = 0.6
"""Time after each push, motor off, in which the pole answers, in s."""
COAST_S = 2.5
"""Longest wait for the base to coast to its rest."""
FEEL_S = 0.1
"""Time after the first tick of duty, motor off, in s: long enough to see a base that was driven
fully."""
RAN_ON = 3.0
"""Factor on the travel of a base without friction, beyond which it does not obey the duty."""
BLIND = 0.25
"""Share of the limit that a base without friction may have gone while its encoder is silent."""


@dataclass
class Stroke:
    """One push and what the encoders said from its start until it was over."""

    direction: int
    """Sign of the duty."""
    ticks: list[int] = field(default_factory=list)
    base_counts: list[int] = field(default_factory=list)
    pole_counts: list[int] = field(default_factory=list)
    duties: list[float] = field(default_factory=list)
    """The duty that holds from each tick on."""
    coasting: float = 0.0
    """Counts a tick that the base still went, when the push began."""

    @property
    def base_moved(self) -> float:
        """Counts to the farthest point of the base from where it would have coasted on to; 0 for
        an encoder that only flickers, as one with a dead channel does."""
        if max(self.base_counts) - min(self.base_counts) <= DITHER:
            return 0.0
        ways = zip(self.ticks, self.base_counts, strict=True)
        moves = [
            count - self.base_counts[0] - self.coasting * (tick - self.ticks[0])
            for tick, count in ways
        ]
        return max(moves, key=abs)

    @property
    def pole_swung(self) -> int:
        """Counts from the start to the farthest point of the pole."""
        return max((count - self.pole_counts[0] for count in self.pole_counts), key=abs)


class Strokes:
    """Answers each OBSERVATION by a duty: a push forward, rest, a push back, rest.

    Args:
        rig: its limits, and the model of a base without friction.
        travel: how far to push, as a part of the limit.
        blind: whether the base's encoder may be silent; False once it has been seen to count.
    """

    def __init__(self, rig: Rig, travel: float, blind: bool) -> None:
        self._rig, self._blind = rig, blind
        unit = abs(rig.base.unit_per_count)
        least, most = LEAST_COUNTS, 0.5 * rig.base.limit / unit
        self._travel = max(least, min(most, travel * rig.base.limit / unit))
        self._most = GENTLE * rig.motor.max_duty
        self._slow = rig.base.limit / SLOW_S / unit * rig.period_s  # counts a tick
        self._left = [1, -1]
        self._duty = 0.0
        self._pushing = False
        self._ended = 0  # the tick of the last push's end
        self._shadow: Plant | None = None
        self.strokes: list[Stroke] = []
        self.has_run_on = False
        """True if the base went farther than the duty explains; nothing is driven any more."""

    @property
    def is_done(self) -> bool:
        """Return whether both pushes are over and the motor is off."""
        return self.has_run_on or (not self._left and not self._pushing and self._rested())

    def command(self, observation: Frame) -> dict[str, Any]:
        """Return the fields of COMMAND; see `hil.drives.host_drives.Commander`."""
        output = 0.0
        if observation["state"] == State.ACTIVE:
            output = self.duty(
                observation["tick"], observation["base_count"], observation["pole_count"]
            )
        return {
            "tick": observation["tick"],
            "output": output,
            "inference_ns": 0,
            "time_to_live": COMMAND_TICKS,
        }

    def duty(self, tick: int, base_count: int, pole_count: int) -> float:
        """Return the duty from this tick on."""
        if self.has_run_on:
            return 0.0
        if not self._pushing and self._left and (not self.strokes or self._rested()):
            self._begin()
        if not self.strokes:
            return 0.0
        stroke = self.strokes[-1]
        gone = self._shadowed(tick)
        if self._pushing:
            self._duty = self._creep(stroke, tick, base_count)
        stroke.ticks.append(tick)
        stroke.base_counts.append(base_count)
        stroke.pole_counts.append(pole_count)
        self.has_run_on = self._has_run_on(stroke, gone)
        if self.has_run_on or (self._pushing and self._is_enough(stroke, gone)):
            self._pushing, self._duty = False, 0.0
            self._ended = tick
        stroke.duties.append(stroke.direction * self._duty)
        return stroke.duties[-1]

    def _begin(self) -> None:
        coasting = self._speed() if self.strokes else 0.0
        self.strokes.append(Stroke(self._left.pop(0), coasting=coasting))
        self._pushing, self._duty = True, 0.0
        seen = any(abs(stroke.base_moved) > DITHER for stroke in self.strokes[:-1])
        self._shadow = None if seen else frictionless(self._rig)

    def _rested(self) -> bool:
        if not self.strokes or self._pushing:
            return False
        rested_s = (self.strokes[-1].ticks[-1] - self._ended) * self._rig.period_s
        return rested_s >= COAST_S or (rested_s >= SETTLE_S and abs(self._speed()) <= DITHER)

    def _speed(self) -> float:
        """Return the speed of the base over the last few ticks, in counts per tick."""
        ticks, counts = self.strokes[-1].ticks[-4:], self.strokes[-1].base_counts[-4:]
        return (counts[-1] - counts[0]) / max(1, ticks[-1] - ticks[0])

    def _shadowed(self, tick: int) -> float:
        """Return how far the base would have gone by this tick without friction; 0 once it is
        seen."""
        stroke = self.strokes[-1]
        if self._shadow is None or not stroke.ticks:
            return 0.0
        self._shadow.set_duty(self._duty)
        self._shadow.advance((tick - stroke.ticks[-1]) * self._rig.period_s)
        return abs(float(self._shadow.state()[0]))

    def _has_run_on(self, stroke: Stroke, gone: float) -> bool:
        """Return whether the base ran on after the first push; later ones begin while it may
        coast."""
        if len(self.strokes) > 1:
            return False
        unit = abs(self._rig.base.unit_per_count)
        return abs(stroke.base_moved) > LEAST_COUNTS + RAN_ON * gone / unit

    def _creep(self, stroke: Stroke, tick: int, base_count: int) -> float:
        """Return the creeping duty: more while the base is slow, less while it is fast. The first
        tick is to feel by."""
        felt_s = (tick - stroke.ticks[0]) * self._rig.period_s if stroke.ticks else 0.0
        if len(self.strokes) == 1 and 0.0 < felt_s < FEEL_S:
            return 0.0
        step = abs(base_count - stroke.base_counts[-1]) if stroke.base_counts else 0
        if step > 2 * self._slow:
            return self._duty / 2
        if step > self._slow:
            return self._duty
        return min(self._most, self._duty + self._most * self._rig.period_s / RAMP_S)

    def _is_enough(self, stroke: Stroke, gone: float) -> bool:
        if abs(stroke.base_moved) >= self._travel:
            return True
        if (stroke.ticks[-1] - stroke.ticks[0]) * self._rig.period_s >= PUSH_S:
            return True
        if not self._blind or self._shadow is None or abs(stroke.base_moved) > DITHER:
            return False
        at_rest = len(self.strokes) == 1  # as it was homed: what swings now, this push has moved
        swung = at_rest and abs(stroke.pole_swung) >= SWUNG_COUNTS
        return swung or gone >= BLIND * self._rig.base.limit


def frictionless(rig: Rig) -> Plant:
    """Return the rig at rest, hanging in the middle, without friction or dead zone: no real one
    goes farther."""
    plant = Plant(rig)
    plant.reset(0)
    plant._set_parameters(
        Parameters(viscous_friction_factor=0.0, coulomb_friction_factor=0.0, dead_zone_factor=0.0)
    )
    plant.hang()
    return plant
