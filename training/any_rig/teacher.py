"""A teacher that sees a rig's numbers: swing-up by energy, balance by a linear-quadratic regulator.

Both are computed from each rig's own masses, lengths, friction, motor and delay, for many units at
once. The swing-up is Åström and Furuta's ("Swinging up a pendulum by energy control", Automatica
36, 2000) with the hinge's acceleration as its input, which the base's own equation turns into a
duty. The regulator is discrete, for the period of the rig, and begins where the duty that is still
on its way will have brought the rig.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from sparsectl.plants.equations import Array, Motion
from sparsectl.plants.plant import Parameters
from sparsectl.plants.rig import Rig
from sparsectl.plants.units import bodies_of

_DOUBLINGS = 16
"""Doublings after which 65,536 ticks are covered, by when every regulated rig stands still."""


@dataclass(frozen=True)
class Gains:
    """Numbers that are the same for all rigs, without units. They were found by a random search
    over drawn rigs, driven as the teacher asks and with noise on the duty as large as a student's
    mistakes."""

    pump: float = 8.0
    """Gain by which the swing-up becomes gentler as the energy nears the upright pole's."""
    sharpness: float = 4.0
    """Gain by which the base reverses its acceleration where the pole's speed changes sign."""
    most_pump: float = 1.14
    """Greatest acceleration of the swing-up, as a share of the motor's."""
    stroke: float = 0.5
    """Share of the limit that a swing at the pole's own frequency may take."""
    pace: float = 1.86
    """Share of the motor's speed that such a swing may take."""
    centre: float = 0.133
    """Acceleration towards the middle with the base at its limit, as a share of the swing-up's."""
    brake: float = 0.24
    """Acceleration against the base's motion at the speed of a swing, as a share of the
    swing-up's."""
    edge: float = 0.75
    """Share of the limit at which the base stops at the latest."""
    edge_brake: float = 1.15
    """Acceleration with which it stops there, as a share of the motor's."""
    last_edge: float = 0.9
    """Share of the limit beyond which a base that could stop no sooner is braked even while the
    pole is caught; the pole then falls and is swung up again. No base that the teacher drives comes
    so far. Those that a student drives do, and the regulator, which does not know the limit, would
    run on into it."""
    surplus: float = 0.069
    """Energy to aim for beyond the upright pole's, because friction takes some on the way."""
    catch_rad: float = 0.5
    """Angle within which the regulator may take over."""
    catch_duty: float = 1.5
    """Greatest duty of the regulator at which it may take over."""
    position_cost: float = 2.6
    angle_cost: float = 4.93
    velocity_cost: float = 0.1
    pole_velocity_cost: float = 0.56
    duty_cost: float = 1.47
    braking_steps: int = 0
    """Steps in which the braking of the base is computed ahead, the pole's pull included; 0: the
    pole is light, and the braking is even."""


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
        gains = self.gains = gains or gains_for(rigs)
        b = self._bodies = bodies_of(rigs, parameters)
        units = list(zip(rigs, parameters, strict=True))
        self.limit = np.array([rig.base.limit for rig in rigs])
        self.period_s = np.array([rig.period_s for rig in rigs])
        self.delay_s = np.array(
            [rig.period_s * unit.transport_delay_periods for rig, unit in units]
        )
        supply = np.array([unit.supply_factor for unit in parameters])
        self.most = np.array([rig.motor.max_duty for rig in rigs])
        self.full = np.array([rig.motor.full_effort for rig in rigs]) * supply
        self.dead = np.array([_dead_share(*unit) for unit in units]) / supply
        self.rate = np.sqrt(b.weight / b.hinge_inertia)
        """Angular frequency of the pole's small swings, in rad/s."""
        inertia = b.base_constant
        self.strongest = (
            np.maximum(self.full * (self.most - self.dead) - b.base_friction, 0.0) / inertia
        )
        self.fastest = self.strongest * inertia / b.base_damping
        # A swing to and fro at the pole's frequency with a constant acceleration takes a stroke of
        # about that over the frequency squared, and a speed of that over the frequency.
        self.pump_most = np.minimum.reduce(
            [
                gains.most_pump * self.strongest,
                gains.stroke * self.limit * self.rate**2,
                gains.pace * self.fastest * self.rate,
            ]
        )
        self.gain = self._regulators()

    def act(self, motion: Motion, last_duty: Array) -> Array:
        """Return duties [units] for the present motion; the last duty acts until the delay is
        over."""
        later = self._predicted(motion, last_duty)
        position, angle, velocity, pole_velocity = later
        angle = np.remainder(angle + np.pi, 2.0 * np.pi) - np.pi
        state = np.stack([position, angle, velocity, pole_velocity], axis=1)
        regulated = -np.einsum("ij,ij->i", self.gain, state)
        gains = self.gains
        caught = (np.abs(angle) < gains.catch_rad) & (np.abs(regulated) < gains.catch_duty)
        stopping = self._stopping(*later)
        caught &= np.abs(stopping) < gains.last_edge * self.limit
        duty = np.where(caught, regulated, self._swinging(state, stopping))
        duty = self._compensated(duty)
        clipped: Array = np.minimum(np.maximum(duty, -self.most), self.most)
        return clipped

    def _predicted(self, motion: Motion, duty: Array) -> tuple[Array, Array, Array, Array]:
        """Predict the motion at which the next duty begins to act."""
        position, angle = motion.position, motion.angle
        velocity, pole_velocity = motion.velocity, motion.pole_velocity
        steps = 3
        step_s = self.delay_s / steps
        effort = self._effort(duty)
        for _ in range(steps):
            base, pole = self._accelerations(angle, velocity, pole_velocity, effort)
            velocity = velocity + step_s * base
            pole_velocity = pole_velocity + step_s * pole
            position = position + step_s * velocity
            angle = angle + step_s * pole_velocity
        return position, angle, velocity, pole_velocity

    def _effort(self, duty: Array) -> Array:
        moving = np.maximum(np.abs(duty) - self.dead, 0.0)
        effort: Array = self.full * np.copysign(moving, duty)
        return effort

    def _forces(self, angle: Array, velocity: Array, pole_velocity: Array) -> tuple[Array, ...]:
        """Return the mass matrix, and the forces on base and pole except the motor's."""
        b = self._bodies
        sine, cosine = np.sin(angle), np.cos(angle)
        bend = b.turning * sine * cosine * velocity
        inertia = b.base_constant + b.turning * sine * sine
        coupling = b.coupling * cosine
        slip = np.tanh(velocity / (0.02 * self.fastest))
        base = (
            -b.base_damping * velocity
            - b.base_friction * slip
            + (b.coupling * sine * pole_velocity - 2.0 * bend) * pole_velocity
        )
        pole = b.weight * sine - b.pole_damping * pole_velocity + bend * velocity
        pole = pole - b.pole_friction * np.tanh(pole_velocity / (0.01 * self.rate))
        return inertia, coupling, base, pole

    def _accelerations(
        self, angle: Array, velocity: Array, pole_velocity: Array, effort: Array
    ) -> tuple[Array, Array]:
        inertia, coupling, base, pole = self._forces(angle, velocity, pole_velocity)
        hinge = self._bodies.hinge_inertia
        base = base + effort
        scale = 1.0 / (inertia * hinge - coupling * coupling)
        return scale * (hinge * base - coupling * pole), scale * (inertia * pole - coupling * base)

    def _swinging(self, state: Array, stopping: Array) -> Array:
        """Return the duty that pumps energy into the pole within the limits of track and motor."""
        gains, b = self.gains, self._bodies
        position, angle, velocity, pole_velocity = state.T
        energy = 0.5 * (pole_velocity / self.rate) ** 2 + np.cos(angle) - 1.0 - gains.surplus
        lever = np.sign(b.coupling) * np.cos(angle) * pole_velocity / self.rate
        # A pole that hangs still is moved by a base that goes to and fro, forward first: about a
        # point off the middle, where a trial begins, or the way to go would hang on a hair there.
        still = (energy < -1.99 - gains.surplus) & (np.abs(lever) < 0.05)
        side = np.tanh(8.0 * (position / self.limit - 0.25))
        side = np.where(still, side, np.tanh(gains.sharpness * lever))
        pump = self.pump_most * np.tanh(gains.pump * energy) * side
        back = gains.centre * position / self.limit
        back = back + gains.brake * velocity * self.rate / self.pump_most
        wanted = pump - self.pump_most * back
        # Beyond the edge it must stop before the limit.
        braking = gains.edge_brake * self.strongest
        side = np.sign(stopping)
        over = np.abs(stopping) > gains.edge * self.limit
        most_outward = np.where(velocity * side > 0.0, -braking, -0.3 * self.pump_most)
        wanted = np.where(over, side * np.minimum(side * wanted, most_outward), wanted)
        inertia, coupling, base, pole = self._forces(angle, velocity, pole_velocity)
        free = (pole - coupling * wanted) / b.hinge_inertia
        duty: Array = (inertia * wanted + coupling * free - base) / self.full
        return duty

    def _stopping(
        self, position: Array, angle: Array, velocity: Array, pole_velocity: Array
    ) -> Array:
        """Return where a base that is braked now comes to rest."""
        steps = self.gains.braking_steps
        braking = self.gains.edge_brake * self.strongest
        if steps:
            # Braked half as well as a motor without a pole would, it stops within these steps.
            step_s = 2.0 * np.abs(velocity) / (self.strongest * steps)
            effort = -np.sign(velocity) * self.full * (self.most - self.dead)
            for _ in range(steps):
                base, pole = self._accelerations(angle, velocity, pole_velocity, effort)
                # It stops, and is not driven back.
                after = velocity + step_s * base
                after = np.where(after * effort < 0.0, after, 0.0)
                pole_velocity = pole_velocity + step_s * pole
                position = position + 0.5 * step_s * (velocity + after)
                angle = angle + step_s * pole_velocity
                velocity = after
        # Even braking takes v²/2a.
        where: Array = position + velocity * np.abs(velocity) / (2.0 * braking)
        return where

    def _compensated(self, duty: Array) -> Array:
        """Return the duty that the motor must be given to overcome its dead zone."""
        compensated: Array = duty + self.dead * np.tanh(duty / (0.3 * self.dead + 0.01))
        return compensated

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
