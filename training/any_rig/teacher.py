"""A teacher that sees a rig's numbers: swing-up by energy, balance by a linear-quadratic regulator.

Both are computed from each rig's own masses, lengths, friction, motor and delay, for many units at
once. The swing-up is Åström and Furuta's ("Swinging up a pendulum by energy control", Automatica
36, 2000) with the hinge's acceleration as its input, which the base's own equation turns into a
duty. The regulator is discrete, for the period of the rig, and begins where the duty that is still
on its way will have brought the rig.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import scipy

from sparsectl.plants.equations import Array, Motion
from sparsectl.plants.plant import Parameters
from sparsectl.plants.rig import Rig
from sparsectl.plants.units import bodies_of
from sparsectl.training.any_rig.law import Gains, Unit, duties_of

_DOUBLINGS = 16
"""Doublings after which 65,536 ticks are covered, by when every regulated rig stands still."""


CART_GAINS = Gains()
ARM_GAINS = Gains(
    pump=1.81,
    sharpness=5.34,
    most_pump=1.81,
    stroke=0.582,
    pace=1.24,
    centre=0.229,
    brake=0.525,
    edge=0.759,
    edge_brake=6.75,
    last_edge=0.65,
    surplus=0.298,
    catch_rad=0.51,
    catch_duty=2.97,
    position_cost=3.84,
    angle_cost=19.2,
    velocity_cost=0.0204,
    pole_velocity_cost=1.72,
    duty_cost=6.65,
    braking_steps=8,
)


_REGULATED: Final = ("gain_position", "gain_angle", "gain_velocity", "gain_pole_velocity")


def motion_of(motion: Motion) -> tuple[Array, Array, Array, Array]:
    """Return the motion as the compiled law takes it."""
    return motion.position, motion.angle, motion.velocity, motion.pole_velocity


def gains_for(rigs: Sequence[Rig]) -> Gains:
    """Return the gains for rigs of one family."""
    return ARM_GAINS if rigs[0].is_rotary else CART_GAINS


class ModelBased:
    """The teacher of many units, which knows the true numbers of each.

    Args:
        rigs: one per unit.
        parameters: those of the units.
        gains: gains of both controllers; None: those of the rigs' family.
    """

    def __init__(
        self, rigs: Sequence[Rig], parameters: Sequence[Parameters], gains: Gains | None = None
    ) -> None:
        self.gains = gains or gains_for(rigs)
        self._bodies = b = bodies_of(rigs, parameters)
        units = list(zip(rigs, parameters, strict=True))
        self.limit = np.array([rig.base.limit for rig in rigs])
        self.period_s = np.array([rig.period_s for rig in rigs])
        delay_s = np.array([rig.period_s * unit.transport_delay_periods for rig, unit in units])
        supply = np.array([unit.supply_factor for unit in parameters])
        most = np.array([rig.motor.max_duty for rig in rigs])
        self.full = np.array([rig.motor.full_effort for rig in rigs]) * supply
        dead = np.array([_dead_share(*unit) for unit in units]) / supply
        self.rate = np.sqrt(b.weight / b.hinge_inertia)
        free = np.maximum(self.full * (most - dead) - b.base_friction, 0.0)
        self.strongest, self.fastest = free / b.base_constant, free / b.base_damping
        self.gain = self._regulators()
        numbers = {name: getattr(b, name) for name in Unit._fields if hasattr(b, name)}
        numbers |= {"limit": self.limit, "most": most, "full": self.full, "dead": dead}
        numbers |= {"rate": self.rate, "strongest": self.strongest, "fastest": self.fastest}
        numbers |= {"delay_s": delay_s} | dict(zip(_REGULATED, self.gain.T, strict=True))
        self.numbers = np.stack([numbers[name] for name in Unit._fields], axis=1)
        """Those of `law.Unit`, [units, NUMBERS]."""

    def act(self, motion: Motion, last_duty: Array) -> Array:
        """Return duties [units] for the present motion; the last duty acts until the delay is
        over."""
        return duties_of(
            self.numbers,
            self.gains,
            motion_of(motion),
            last_duty,
        )

    def _regulators(self) -> Array:
        """Return gains [units, 4] on position, angle and their velocities."""
        b, gains, units = self._bodies, self.gains, len(self.limit)
        inverse = np.zeros((units, 2, 2))
        inverse[:, 0, 0], inverse[:, 1, 1] = b.hinge_inertia, b.base_constant
        inverse[:, 0, 1] = inverse[:, 1, 0] = -b.coupling
        inverse /= (b.base_constant * b.hinge_inertia - b.coupling**2)[:, None, None]
        forces = np.zeros((units, 2, 5))
        forces[:, 1, 1] = b.weight
        forces[:, 0, 2], forces[:, 1, 3] = -b.base_damping, -b.pole_damping
        forces[:, 0, 4] = self.full
        motion = np.zeros((units, 5, 5))
        motion[:, 0, 2] = motion[:, 1, 3] = 1.0
        motion[:, 2:4] = inverse @ forces
        whole = scipy.linalg.expm(motion * self.period_s[:, None, None])
        step, push = whole[:, :4, :4], whole[:, :4, 4:]
        costs = np.zeros((units, 4))
        costs[:, 0] = gains.position_cost / self.limit
        costs[:, 1] = gains.angle_cost
        costs[:, 2] = gains.velocity_cost / self.fastest
        costs[:, 3] = gains.pole_velocity_cost / self.rate
        duty_cost = np.zeros((units, 1, 1))
        duty_cost[:, 0, 0] = gains.duty_cost
        value = _riccati(step, push, np.eye(4) * costs[:, None, :] ** 2, duty_cost)
        felt = push.transpose(0, 2, 1) @ value
        gain: Array = np.linalg.solve(duty_cost + felt @ push, felt @ step)[:, 0]
        return gain


def _riccati(step: Array, push: Array, cost: Array, duty_cost: Array) -> Array:
    """Solve discrete algebraic Riccati equations by doubling; return the solutions, [units, n, n].

    Chu, Fan, Lin, Wang, "Structure-preserving algorithms for periodic discrete-time algebraic
    Riccati equations" (2004): each round covers twice as many ticks.
    """
    reach = push @ push.transpose(0, 2, 1) / duty_cost
    value, unit = cost, np.eye(step.shape[1])
    for _ in range(_DOUBLINGS):
        through = np.linalg.solve(unit + reach @ value, np.concatenate([step, reach], axis=2))
        ahead, spread = through[..., : step.shape[1]], through[..., step.shape[1] :]
        back = step.transpose(0, 2, 1)
        value, reach, step = (
            value + back @ value @ ahead,
            reach + step @ spread @ back,
            step @ ahead,
        )
    return value


def _dead_share(rig: Rig, parameters: Parameters) -> float:
    """Return the duty that does not move the motor, at its nominal supply."""
    motor = rig.motor
    dead = getattr(motor, "dead_zone_v", 0.0) / motor.supply_v
    return float(dead * parameters.dead_zone_factor)
