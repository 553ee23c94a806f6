"""The equations of both models in closed form, for many units at once.

MuJoCo is the reference: these are its own steps (integrator `implicitfast`, dry friction as its
`frictionloss` constraint), written out for two joints, so that numpy takes a step of hundreds of
units in the time in which MuJoCo takes one of a few. See MuJoCo's documentation, "Computation".
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sparsectl.plants.rig import GRAVITY

Array = NDArray[np.float64]

# MuJoCo's defaults for a friction loss: `solimp` begins at 0.9 and ends at 0.95, `solref` has the
# time constant 0.02 s. Its regularisation is the share that 0.9 leaves.
_IMPEDANCE, _LARGEST_IMPEDANCE, _TIME_CONSTANT_S = 0.9, 0.95, 0.02
_DRAG = 2.0 / (_LARGEST_IMPEDANCE * _TIME_CONSTANT_S)
_SOFTNESS = (1.0 - _IMPEDANCE) / _IMPEDANCE

LEAST_INERTIA = 1e-9
"""Of a body about an axis about which it has none, as `plants.plant` gives it to MuJoCo."""


@dataclass
class Bodies:
    """What of the units' rigs the equations need, arrays of shape [units], SI units.

    For a cart `arm_m` is 0, for an arm the mass `sliding_kg` is 0.
    """

    rotary: NDArray[np.bool_]
    base_inertia: Array
    """kg of cart and rotor, or kg m² of arm and rotor about the arm's axis."""
    arm_m: Array
    pole_kg: Array
    centre_m: Array
    """From the hinge to the centre of the pole's mass."""
    pole_inertia: Array
    """Of the pole about its own centre, kg m²."""
    base_damping: Array
    """Viscous friction and back-EMF."""
    pole_damping: Array
    base_friction: Array
    """Coulomb friction, N or N m."""
    pole_friction: Array

    def __post_init__(self) -> None:
        # The terms of the mass matrix that no motion changes.
        self.moment = self.pole_kg * self.centre_m
        """kg m."""
        self.hinge_inertia = self.pole_kg * self.centre_m**2 + self.pole_inertia
        self.coupling = np.where(self.rotary, -self.arm_m, 1.0) * self.moment
        self.base_constant = self.base_inertia + np.where(
            self.rotary, self.pole_kg * self.arm_m**2 + LEAST_INERTIA, self.pole_kg
        )
        self.turning = np.where(self.rotary, self.hinge_inertia - LEAST_INERTIA, 0.0)
        """What the pole adds to the arm's inertia where it stands out level."""
        self.weight = self.moment * GRAVITY
        # Of the pole upright: MuJoCo scales the regularisation of its constraints by it.
        upright = self.base_constant * self.hinge_inertia - self.coupling**2
        self.base_stiffness = upright / (_SOFTNESS * self.hinge_inertia)
        self.pole_stiffness = upright / (_SOFTNESS * self.base_constant)

    def taken(self, units: NDArray[np.int64]) -> Self:
        """The same of some of the units."""
        return type(self)(
            **{field.name: getattr(self, field.name)[units] for field in fields(self)}
        )


@dataclass
class Motion:
    """Positions and velocities of the units, arrays of shape [units]; angle 0 is upright."""

    position: Array
    angle: Array
    velocity: Array
    pole_velocity: Array


class Equations:
    """The units' equations, and which hinges slid which way when they were last solved."""

    def __init__(self, bodies: Bodies) -> None:
        self.bodies = bodies
        self._pole_slides = np.zeros(len(bodies.pole_kg))

    def step(self, motion: Motion, effort: Array, step_s: Array) -> None:
        """Integrate one step; a unit whose step is 0 s stays exactly as it is.

        Args:
            motion: is changed.
            effort: of the motor, N or N m, [units].
            step_s: [units].
        """
        b = self.bodies
        sine, cosine = np.sin(motion.angle), np.cos(motion.angle)
        velocity, pole_velocity = motion.velocity, motion.pole_velocity
        bend = b.turning * sine * cosine * velocity
        inertia = b.base_constant + b.turning * sine * sine
        coupling = b.coupling * cosine
        base_force = (
            effort
            - b.base_damping * velocity
            + (b.coupling * sine * pole_velocity - 2.0 * bend) * pole_velocity
        )
        pole_force = b.weight * sine - b.pole_damping * pole_velocity + bend * velocity
        base_friction, pole_friction = self._friction(
            inertia, coupling, base_force, pole_force, velocity, pole_velocity
        )
        base_force += base_friction
        pole_force += pole_friction
        # implicitfast: the damping of the speed after the step, not before it.
        inertia += step_s * b.base_damping
        hinge = b.hinge_inertia + step_s * b.pole_damping
        scale = step_s / (inertia * hinge - coupling * coupling)
        motion.velocity = velocity + scale * (hinge * base_force - coupling * pole_force)
        motion.pole_velocity = pole_velocity + scale * (
            inertia * pole_force - coupling * base_force
        )
        motion.position = motion.position + step_s * motion.velocity
        motion.angle = motion.angle + step_s * motion.pole_velocity

    def _friction(
        self,
        inertia: Array,
        coupling: Array,
        base_force: Array,
        pole_force: Array,
        velocity: Array,
        pole_velocity: Array,
    ) -> tuple[Array, Array]:
        """Dry friction: a stiff damper up to the friction, from there on the friction itself.

        Its force makes the accelerations, and they make it. Which way the pole's hinge slides, if
        at all, is guessed from the last step; where the accelerations say otherwise, what they say
        is tried, and else the three answers one by one. With that answer the base's friction has a
        closed form.
        """
        b = self.bodies
        joints = _Joints(
            inertia,
            b.hinge_inertia,
            coupling,
            base_force,
            pole_force,
            -_DRAG * velocity,
            -_DRAG * pole_velocity,
            b.base_stiffness,
            b.pole_stiffness,
            b.base_friction,
            b.pole_friction,
        )
        base_friction, pole_friction, slides = joints.friction(self._pole_slides)
        wrong = np.flatnonzero(slides != self._pole_slides)
        if wrong.size:
            guesses = slides[wrong]
            others = joints.taken(wrong)
            for guess in (None, 0.0, 1.0, -1.0):
                if guess is not None:
                    guesses[slides != guesses] = guess
                base, pole, slides = others.friction(guesses)
                if (slides == guesses).all():
                    break
            base_friction[wrong], pole_friction[wrong] = base, pole
            self._pole_slides[wrong] = guesses
        return base_friction, pole_friction


@dataclass(frozen=True)
class _Joints:
    """Two joints with dry friction at one instant, arrays of shape [units].

    `wanted` is the acceleration at which a joint's friction is none.
    """

    inertia: Array
    hinge_inertia: Array
    coupling: Array
    base_force: Array
    pole_force: Array
    base_wanted: Array
    pole_wanted: Array
    base_stiffness: Array
    pole_stiffness: Array
    base_friction: Array
    pole_friction: Array

    def taken(self, units: NDArray[np.int64]) -> _Joints:
        """The same of some of the units."""
        return _Joints(*(getattr(self, field.name)[units] for field in fields(self)))

    def friction(self, pole_slides: Array) -> tuple[Array, Array, Array]:
        """Friction of base and pole if the pole's hinge slides forward (1), back (-1) or not (0),
        and what the accelerations then say of that."""
        stiff = np.where(pole_slides == 0.0, self.pole_stiffness, 0.0)
        hinge = self.hinge_inertia + stiff
        pole_sum = self.pole_force + stiff * self.pole_wanted - pole_slides * self.pole_friction
        share = self.coupling / hinge
        alone = self.inertia - share * self.coupling
        push = self.base_force - share * pole_sum
        sticking = self.base_stiffness * (alone * self.base_wanted - push)
        sticking /= alone + self.base_stiffness
        base = np.minimum(np.maximum(sticking, -self.base_friction), self.base_friction)
        acceleration = (push + base) / alone
        excess = pole_sum / hinge - share * acceleration - self.pole_wanted
        force = -self.pole_stiffness * excess
        pole = np.minimum(np.maximum(force, -self.pole_friction), self.pole_friction)
        return base, pole, np.where(pole == force, 0.0, np.sign(excess))
