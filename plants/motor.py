"""What drives the base, and how much of what a duty asks for becomes force or torque."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol


class AnyMotor(Protocol):
    """A motor of a rig: what all kinds answer. Efforts are N (a cart) or N m (an arm)."""

    @property
    def supply_v(self) -> float: ...

    @property
    def max_duty(self) -> float: ...

    @property
    def current_limit_a(self) -> float: ...

    @property
    def duties(self) -> tuple[float, ...]: ...

    @property
    def full_effort(self) -> float:
        """Effort at standstill and duty 1, nothing lost."""

    @property
    def damping(self) -> float:
        """Effort that a unit of the base's speed takes away, whatever the duty."""

    @property
    def needs_velocity(self) -> bool:
        """Whether the effort of a duty changes with the base's speed, beside `damping`."""

    def effort(
        self, duty: float, velocity: float, supply_factor: float, dead_zone_factor: float
    ) -> float:
        """The effort of a duty at a speed of the base, without `damping`."""

    def current_a(self, effort: float, velocity: float) -> float:
        """Current, in A, that goes with that effort; 0 where the rig's file does not say."""


@dataclass(frozen=True)
class Motor:
    """A DC motor behind an H-bridge: effort (N or N m) = effort_per_volt * (volts - back EMF).

    A positive duty drives the base forward by definition: which way that is on the bench does not
    matter, and a motor whose wires are swapped is a rig whose two encoders both count backwards.
    """

    supply_v: float
    effort_per_volt: float
    back_emf_v: float
    dead_zone_v: float
    max_duty: float
    stall_current_a: float = 0.0
    """Current at standstill and full duty; 0: not known, none is simulated."""
    current_limit_a: float = 0.0
    """Current at which a board that can measure it faults; 0: never."""
    duties: tuple[float, ...] = ()
    """Those that a policy chooses among: its action is then the index of one. None: its action is
    the duty itself."""

    needs_velocity = False

    @property
    def full_effort(self) -> float:
        """At the whole supply."""
        return self.effort_per_volt * self.supply_v

    @property
    def damping(self) -> float:
        """The back-EMF acts as viscous friction does."""
        return self.effort_per_volt * self.back_emf_v

    def effort(
        self, duty: float, velocity: float, supply_factor: float, dead_zone_factor: float
    ) -> float:
        """Volts of the bridge, less what the dead zone swallows."""
        duty = min(max(duty, -self.max_duty), self.max_duty)
        volts = duty * self.supply_v * supply_factor
        dead_zone_v = self.dead_zone_v * dead_zone_factor
        return self.effort_per_volt * math.copysign(max(abs(volts) - dead_zone_v, 0.0), volts)

    def current_a(self, effort: float, velocity: float) -> float:
        """By the share of the supply that the winding sees."""
        volts = effort / self.effort_per_volt - self.back_emf_v * velocity
        return self.stall_current_a * volts / self.supply_v


@dataclass(frozen=True)
class CurrentMotor:
    """A motor behind a drive that controls its current, such as a brushless one behind an ODrive.

    Duty 1 asks for `max_current_a`. The drive makes it whatever the speed, as far as its supply
    reaches: |resistance * current + back EMF| <= supply.
    """

    supply_v: float
    effort_per_amp: float
    """N/A or N m/A at the base: torque constant times gear, over the pinion's radius for a cart."""
    max_current_a: float
    """Current that duty 1 asks the drive for."""
    resistance_ohm: float
    back_emf_v: float
    """Volts of a unit of the base's speed."""
    max_duty: float
    dead_zone_a: float = 0.0
    """Current that does not move it: cogging, the drive's own dead band."""
    torque_per_amp: float = 0.0
    """N m/A at the motor's shaft, for drives that are told a torque; 0: not known."""
    current_limit_a: float = 0.0
    """Current at which a board that can measure it faults; 0: never."""
    duties: tuple[float, ...] = ()
    """Those that a policy chooses among: its action is then the index of one. None: its action is
    the duty itself."""

    damping = 0.0
    needs_velocity = True

    @property
    def full_effort(self) -> float:
        """At the whole current."""
        return self.effort_per_amp * self.max_current_a

    def effort(
        self, duty: float, velocity: float, supply_factor: float, dead_zone_factor: float
    ) -> float:
        """The current that is asked for, as far as the supply reaches at this speed."""
        duty = min(max(duty, -self.max_duty), self.max_duty)
        supply_v, emf_v = self.supply_v * supply_factor, self.back_emf_v * velocity
        low, high = ((side * supply_v - emf_v) / self.resistance_ohm for side in (-1.0, 1.0))
        current = min(max(duty * self.max_current_a, low), high)
        moving_a = max(abs(current) - self.dead_zone_a * dead_zone_factor, 0.0)
        return self.effort_per_amp * math.copysign(moving_a, current)

    def current_a(self, effort: float, velocity: float) -> float:
        """What makes this effort."""
        return effort / self.effort_per_amp


MOTORS: Final[dict[str, type[Motor] | type[CurrentMotor]]] = {
    "voltage": Motor,
    "current": CurrentMotor,
}
"""What `[motor] kind` may be."""
