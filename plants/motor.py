"""Motors: how a duty becomes a force or torque on the base."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol


class AnyMotor(Protocol):
    """What every kind of motor provides. Efforts are in N (a cart) or N m (an arm)."""

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
        """Effort at standstill and duty 1, without losses."""

    @property
    def damping(self) -> float:
        """Effort lost per unit of the base's speed, at any duty: N s/m or N m s/rad."""

    @property
    def needs_velocity(self) -> bool:
        """Return whether the effort at a given duty depends on the base's speed in other ways than
        through `damping`."""

    def effort(
        self, duty: float, velocity: float, supply_factor: float, dead_zone_factor: float
    ) -> float:
        """Return the effort at a duty and a speed of the base, without `damping`."""

    def current_a(self, effort: float, velocity: float) -> float:
        """Return the current, in A, at this effort; 0 if the rig's file does not give it."""


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
    """Current at standstill and full duty, in A; 0: not known, and no current is simulated."""
    current_limit_a: float = 0.0
    """Current at which a board that can measure it faults; 0: never."""
    duties: tuple[float, ...] = ()
    """Duties that a policy chooses among, whose action is then the index of one. None: the action
    is the duty itself."""

    needs_velocity = False

    @property
    def full_effort(self) -> float:
        """Return the effort at the full supply voltage."""
        return self.effort_per_volt * self.supply_v

    @property
    def damping(self) -> float:
        """Return the damping that the back-EMF causes; it acts like viscous friction."""
        return self.effort_per_volt * self.back_emf_v

    def effort(
        self, duty: float, velocity: float, supply_factor: float, dead_zone_factor: float
    ) -> float:
        """Return the effort of the bridge's voltage, less the dead zone."""
        duty = min(max(duty, -self.max_duty), self.max_duty)
        volts = duty * self.supply_v * supply_factor
        dead_zone_v = self.dead_zone_v * dead_zone_factor
        return self.effort_per_volt * math.copysign(max(abs(volts) - dead_zone_v, 0.0), volts)

    def current_a(self, effort: float, velocity: float) -> float:
        """Return the current that the share of the supply across the winding drives."""
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
    """Current that duty 1 commands, in A."""
    resistance_ohm: float
    back_emf_v: float
    """Back-EMF per unit of the base's speed, in V s/m or V s/rad."""
    max_duty: float
    dead_zone_a: float = 0.0
    """Current below which the base does not move: cogging, or a dead band of the drive."""
    torque_per_amp: float = 0.0
    """N m/A at the motor's shaft, for drives that take torque commands; 0: not known."""
    current_limit_a: float = 0.0
    """Current at which a board that can measure it faults; 0: never."""
    duties: tuple[float, ...] = ()
    """Duties that a policy chooses among, whose action is then the index of one. None: the action
    is the duty itself."""

    damping = 0.0
    needs_velocity = True

    @property
    def full_effort(self) -> float:
        """Return the effort at the maximum current."""
        return self.effort_per_amp * self.max_current_a

    def effort(
        self, duty: float, velocity: float, supply_factor: float, dead_zone_factor: float
    ) -> float:
        """Return the effort of the commanded current, limited by what the supply can drive at this
        speed."""
        duty = min(max(duty, -self.max_duty), self.max_duty)
        supply_v, emf_v = self.supply_v * supply_factor, self.back_emf_v * velocity
        low, high = ((side * supply_v - emf_v) / self.resistance_ohm for side in (-1.0, 1.0))
        current = min(max(duty * self.max_current_a, low), high)
        moving_a = max(abs(current) - self.dead_zone_a * dead_zone_factor, 0.0)
        return self.effort_per_amp * math.copysign(moving_a, current)

    def current_a(self, effort: float, velocity: float) -> float:
        """Return the current that makes this effort."""
        return effort / self.effort_per_amp


MOTORS: Final[dict[str, type[Motor] | type[CurrentMotor]]] = {
    "voltage": Motor,
    "current": CurrentMotor,
}
"""The values of `[motor] kind`."""
