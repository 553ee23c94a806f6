"""Simulate many units of rigs side by side: the plant of `plants.plant`, vectorised over the units.

MuJoCo steps one unit; this steps hundreds by the compiled closed form of the same equations. What
needs one unit in all its detail (a trial, a fault, an identification) takes `Plant`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsectl.plants.equations import LEAST_INERTIA, Array, Bodies, Motion, advance
from sparsectl.plants.motor import CurrentMotor, Motor
from sparsectl.plants.plant import LONGEST_STEP_S, Parameters
from sparsectl.plants.rig import Rig

State = tuple[tuple[float, float], tuple[float, float]]
"""Positions of base and pole, and their velocities, SI units."""


class Units:
    """Units whose time passes one control period at a time.

    Args:
        rigs: one a unit; a unit's may be another than its neighbour's.
        parameters: what differs from unit to unit.
        states: where each begins.
    """

    def __init__(
        self, rigs: Sequence[Rig], parameters: Sequence[Parameters], states: Sequence[State]
    ) -> None:
        bodies = bodies_of(rigs, parameters)
        rows = np.array([(*positions, *velocities) for positions, velocities in states])
        self._state = np.ascontiguousarray(rows.T)
        self.motion = Motion(*self._state)
        """Views of the present state."""
        self._pole_slides = np.zeros(len(rigs))
        self._body, self._motor = bodies.numbers(), motors_of(rigs, parameters)
        self._duty = np.zeros(len(rigs))

        def of_rigs(number: Callable[[Rig], float]) -> Array:
            return np.array([number(rig) for rig in rigs])

        self._unit_per_count = of_rigs(lambda rig: rig.base.unit_per_count)
        self._rad_per_count = of_rigs(lambda rig: rig.pole_rad_per_count)
        self._rest_rad = math.pi + np.array([each.rest_angle_bias_rad for each in parameters])

    def advance(self, delay_s: Array, rest_s: Array, duty: Array) -> None:
        """Let one control period pass.

        Args:
            delay_s: for how long the duty before this one still acts, [units].
            rest_s: for how long this one does, [units].
            duty: -1 to 1, [units].
        """
        durations_s = np.stack([delay_s, rest_s])
        # As many steps as a duration takes, each at most the longest; none where it is 0 or less.
        steps = np.maximum(np.ceil(durations_s / LONGEST_STEP_S), 0.0)
        advance(
            self._state,
            self._pole_slides,
            self._body,
            self._motor,
            steps,
            durations_s / np.maximum(steps, 1.0),
            np.stack([self._duty, duty]),
        )
        self._duty = duty

    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the encoders' counts: the bases' from the middle, the poles' from hanging at rest,
        [units]."""
        base = np.floor(self.motion.position / self._unit_per_count)
        pole = np.floor((self.motion.angle - self._rest_rad) / self._rad_per_count)
        return base.astype(np.int64), pole.astype(np.int64)

    def angle_rad(self) -> Array:
        """Return the poles' angles within -π and π, where 0 is upright, [units]."""
        wrapped: Array = np.remainder(self.motion.angle + math.pi, 2.0 * math.pi) - math.pi
        return wrapped


def motors_of(rigs: Sequence[Rig], parameters: Sequence[Parameters]) -> tuple[Array, ...]:
    """Return the numbers of the units' motors, as `equations.advance` takes them."""
    motors = [rig.motor for rig in rigs]
    currents = [m if isinstance(m, CurrentMotor) else None for m in motors]
    dead = [m.dead_zone_v if isinstance(m, Motor) else m.dead_zone_a for m in motors]
    # What a supply leaves of a current at a speed; a voltage motor's is damping, not a limit.
    stall = [
        m.supply_v * each.supply_factor / m.resistance_ohm if m else math.inf
        for m, each in zip(currents, parameters, strict=True)
    ]
    return (
        np.array([motor.max_duty for motor in motors]),
        np.array([_full(*each) for each in zip(motors, parameters, strict=True)]),
        np.array([m.effort_per_volt if isinstance(m, Motor) else m.effort_per_amp for m in motors]),
        np.array(dead) * np.array([each.dead_zone_factor for each in parameters]),
        np.array([m.back_emf_v / m.resistance_ohm if m else 0.0 for m in currents]),
        np.array(stall),
    )


def _full(motor: Motor | CurrentMotor, parameters: Parameters) -> float:
    if isinstance(motor, CurrentMotor):
        return motor.max_current_a
    return motor.supply_v * parameters.supply_factor


def bodies_of(rigs: Sequence[Rig], parameters: Sequence[Parameters]) -> Bodies:
    """Return masses, lengths, inertias and friction of units, as `Plant` writes them into its
    model."""

    def numbers(number: Callable[[Rig, Parameters], float]) -> Array:
        return np.array([number(*unit) for unit in zip(rigs, parameters, strict=True)])

    rotary = np.array([rig.is_rotary for rig in rigs])
    arm_m = np.array([rig.base.length_m for rig in rigs])
    base_kg = numbers(lambda rig, unit: rig.base.mass_kg * unit.base_mass_factor)
    rotor = np.array([rig.base.rotor_inertia for rig in rigs])
    arm = np.maximum(base_kg * arm_m**2 / 12.0, LEAST_INERTIA) + base_kg * arm_m**2 / 4.0
    rod_kg = numbers(lambda rig, unit: rig.pole.mass_kg * unit.pole_mass_factor)
    tip_kg = numbers(lambda rig, unit: rig.pole.tip_mass_kg * unit.pole_mass_factor)
    length_m = numbers(lambda rig, unit: rig.pole.length_m * unit.pole_length_factor)
    whole_kg = rod_kg + tip_kg
    about_centre = rod_kg / 12.0 + rod_kg * tip_kg / (4.0 * whole_kg)
    viscous = np.array([unit.viscous_friction_factor for unit in parameters])
    coulomb = np.array([unit.coulomb_friction_factor for unit in parameters])
    return Bodies(
        rotary=rotary,
        base_inertia=np.where(rotary, arm, base_kg) + rotor,
        arm_m=arm_m,
        pole_kg=whole_kg,
        centre_m=length_m * (rod_kg / 2.0 + tip_kg) / whole_kg,
        pole_inertia=np.maximum(about_centre * length_m**2, LEAST_INERTIA),
        base_damping=np.array([rig.base.viscous_friction for rig in rigs]) * viscous
        + np.array([rig.motor.damping for rig in rigs]),
        pole_damping=np.array([rig.pole.viscous_friction for rig in rigs]) * viscous,
        base_friction=np.array([rig.base.coulomb_friction for rig in rigs]) * coulomb,
        pole_friction=np.array([rig.pole.coulomb_friction for rig in rigs]) * coulomb,
    )
