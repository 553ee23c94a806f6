"""Faults of the pendulum: its encoders, its motor, its mechanics.

`FaultyPlant` stands in for a `Plant` and injects one fault once its time has come.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sparsectl.hil.faults.kinds import FaultSpec

if TYPE_CHECKING:
    from sparsectl.plants.plant import Plant

Counts = tuple[int, int]
BASE, POLE = 0, 1


class PlantFault:
    """The effect of a fault on the plant. This base class has none: each method returns its
    input."""

    def begin(self, plant: Plant, counts: Counts) -> None:
        """Begin the fault; these are the last counts before it."""

    def counts(self, counts: Counts) -> Counts:
        """Return what the encoders report."""
        return counts

    def limit_switch_open(self, is_open: bool) -> bool:
        """Return what the loop of the limit switches reports."""
        return is_open

    def lost_edges(self) -> int:
        """Return the edges that the encoders' decoder has missed since the fault began."""
        return 0

    def duty(self, duty: float) -> float:
        """Return the duty that the motor gets."""
        return duty

    def current_a(self, current_a: float) -> float:
        """Return what the current sensor reports."""
        return current_a

    def advance(self, plant: Plant, duration_s: float) -> None:
        """Let time pass, as the fault has it."""
        plant.advance(duration_s)


class _Encoder(PlantFault):
    """A fault of one encoder."""

    def __init__(self, axis: int) -> None:
        self.axis = axis
        self.last = 0

    def begin(self, plant: Plant, counts: Counts) -> None:
        self.last = counts[self.axis]

    def counts(self, counts: Counts) -> Counts:
        changed = list(counts)
        changed[self.axis] = self.count(counts[self.axis])
        return changed[0], changed[1]

    def count(self, count: int) -> int:
        """Return what this encoder reports instead of `count`."""
        return count


class _Stuck(_Encoder):
    def count(self, count: int) -> int:
        return self.last


class _Unplugged(_Encoder):
    def count(self, count: int) -> int:
        return 0


class _Reversed(_Encoder):
    def count(self, count: int) -> int:
        return 2 * self.last - count


class _Skipped(_Encoder):
    """A decoder that is too slow for fast motion: of two edges it sees none, and knows it."""

    SLOW = 8
    """Counts from one look to the next that it keeps up with."""

    def __init__(self, axis: int) -> None:
        super().__init__(axis)
        self.lost = self.missed = 0

    def count(self, count: int) -> int:
        step = count - self.last
        if abs(step) > self.SLOW:
            self.lost += 1
            self.missed += 2 if step > 0 else -2
        self.last = count
        return count - self.missed

    def lost_edges(self) -> int:
        return self.lost


class _Drifting(_Encoder):
    """A belt that slips a little all the time: the base's zero wanders off."""

    SPEED = 0.3
    """Speed of the drift, in m/s or rad/s."""

    def __init__(self) -> None:
        super().__init__(BASE)
        self.drift = 0.0

    def advance(self, plant: Plant, duration_s: float) -> None:
        super().advance(plant, duration_s)
        self.drift += self.SPEED * duration_s / plant.rig.base.unit_per_count

    def count(self, count: int) -> int:
        return count - round(self.drift)


class _CutSwitch(PlantFault):
    def limit_switch_open(self, is_open: bool) -> bool:
        return True


class _DeadChannel(_Encoder):
    """The other channel alone makes a count flicker."""

    def count(self, count: int) -> int:
        return self.last + (count // 2) % 2


class _Overflowed(_Encoder):
    def count(self, count: int) -> int:
        return count + 2**31 if count < 0 else count - 2**31


class _Noisy(_Encoder):
    def __init__(self, axis: int) -> None:
        super().__init__(axis)
        self.dice = random.Random(axis)

    def count(self, count: int) -> int:
        return count + self.dice.choice((-1, 1)) * self.dice.randint(2_000, 20_000)


class _Jammed(PlantFault):
    """An axis stands where it is."""

    def __init__(self, axis: int) -> None:
        self.axis = axis
        self.position = 0.0

    def begin(self, plant: Plant, counts: Counts) -> None:
        self.position = float(plant.data.qpos[self.axis])
        plant.data.qvel[self.axis] = 0.0

    def advance(self, plant: Plant, duration_s: float) -> None:
        while duration_s > 1e-9:
            step_s = min(duration_s, 0.002)
            plant.advance(step_s)
            plant.data.qpos[self.axis] = self.position
            plant.data.qvel[self.axis] = 0.0
            duration_s -= step_s


class _Supply(PlantFault):
    def __init__(self, part: float) -> None:
        self.part = part

    def duty(self, duty: float) -> float:
        return duty * self.part


class _Shorted(PlantFault):
    def current_a(self, current_a: float) -> float:
        return math.copysign(10.0 * abs(current_a) + 5.0, current_a)


class _BrokenSensor(PlantFault):
    def current_a(self, current_a: float) -> float:
        return 1000.0


class _StuckBridge(PlantFault):
    def duty(self, duty: float) -> float:
        return 1.0


class _Blow(PlantFault):
    """An axis is hit so that it goes at 1.5 times the speed that the board allows."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def begin(self, plant: Plant, counts: Counts) -> None:
        rates = (plant.rig.base.rate_limit, plant.rig.pole.rate_limit)
        self.speed = 1.5 * rates[self.axis]
        plant.data.qvel[self.axis] = self.speed

    def advance(self, plant: Plant, duration_s: float) -> None:
        super().advance(plant, duration_s)
        plant.data.qvel[self.axis] = self.speed
        self.speed = 0.0 if self.axis == BASE else self.speed


class _Swaying(PlantFault):
    """Somebody keeps the pole moving."""

    def advance(self, plant: Plant, duration_s: float) -> None:
        super().advance(plant, duration_s)
        plant.data.qvel[POLE] = math.sin(5.0 * plant.time_s)


PLANT_FAULTS: Final[dict[str, Callable[[], PlantFault]]] = {
    "stuck_pole_encoder": lambda: _Stuck(POLE),
    "stuck_base_encoder": lambda: _Stuck(BASE),
    "unplugged_pole_encoder": lambda: _Unplugged(POLE),
    "unplugged_base_encoder": lambda: _Unplugged(BASE),
    "noisy_pole_encoder": lambda: _Noisy(POLE),
    "noisy_base_encoder": lambda: _Noisy(BASE),
    "skipped_base_edges": lambda: _Skipped(BASE),
    "skipped_pole_edges": lambda: _Skipped(POLE),
    "overflowed_pole_encoder": lambda: _Overflowed(POLE),
    "dead_base_channel": lambda: _DeadChannel(BASE),
    "dead_pole_channel": lambda: _DeadChannel(POLE),
    "broken_current_sensor": _BrokenSensor,
    "overflowed_base_encoder": lambda: _Overflowed(BASE),
    "reversed_pole_encoder": lambda: _Reversed(POLE),
    "reversed_base_encoder": lambda: _Reversed(BASE),
    "reversed_motor": lambda: _Supply(-1.0),
    "drifting_base_zero": _Drifting,
    "cut_limit_switch": _CutSwitch,
    "jammed_base": lambda: _Jammed(BASE),
    "jammed_pole": lambda: _Jammed(POLE),
    "lost_supply": lambda: _Supply(0.0),
    "sagging_supply": lambda: _Supply(0.1),
    "shorted_motor": _Shorted,
    "stuck_bridge": _StuckBridge,
    "shoved_base": lambda: _Blow(BASE),
    "whirled_pole": lambda: _Blow(POLE),
    "swaying_pole": _Swaying,
}


class FaultyPlant:
    """A plant with one fault; see `plants.plant.Plant` for what it stands in for."""

    def __init__(self, plant: Plant, spec: FaultSpec) -> None:
        self.plant, self.spec = plant, spec
        self._fault = PLANT_FAULTS[spec.kind.name]()
        self._driven_s: float | None = None
        self._begun = False
        self.begun_s: float | None = None
        """Time at which the fault began, in the plant's time, in s; None: not yet."""
        self._last: Counts = plant.counts()

    def advance(self, duration_s: float) -> None:
        """Let time pass."""
        self._begin()
        if self._begun:
            self._fault.advance(self.plant, duration_s)
        else:
            self.plant.advance(duration_s)

    def set_duty(self, duty: float) -> None:
        """Set the duty that the board asks for."""
        if duty != 0.0 and self._driven_s is None:
            self._driven_s = self.plant.time_s
        self.plant.set_duty(self._fault.duty(duty) if self._begun else duty)

    def counts(self) -> Counts:
        """Return what the encoders report, modulo 2^32 like a counter."""
        self._begin()
        truth = self.plant.counts()
        if not self._begun:
            self._last = truth
            return truth
        base, pole = self._fault.counts(truth)
        return base, pole

    def limit_switch_open(self) -> bool:
        """Return what the loop of the limit switches reports."""
        is_open = self.plant.limit_switch_open()
        return self._fault.limit_switch_open(is_open) if self._begun else is_open

    def lost_edges(self) -> int:
        """Return the edges that the encoders' decoder has missed."""
        return self._fault.lost_edges() if self._begun else 0

    def current_a(self) -> float:
        """Return what the current sensor reports."""
        current_a = self.plant.current_a()
        return self._fault.current_a(current_a) if self._begun else current_a

    def _begin(self) -> None:
        """Let the fault come once its time has."""
        due = self._driven_s is not None and (
            self.plant.time_s >= self._driven_s + self.spec.after_s
        )
        if not self._begun and (due or self.spec.kind.from_boot):
            self._begun = True
            self.begun_s = self.plant.time_s
            self._fault.begin(self.plant, self._last)
