"""The equations of motion of both models in closed form, compiled, for one unit after another.

MuJoCo is the reference: these are its own steps (integrator `implicitfast`, dry friction as its
`frictionloss` constraint), written out for two joints. See MuJoCo's documentation, "Computation".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sparsectl.plants.gravity import GRAVITY

Array = NDArray[np.float64]

# MuJoCo's defaults for a friction loss: `solimp` begins at 0.9 and ends at 0.95, `solref` has the
# time constant 0.02 s. Its regularisation is the share that 0.9 leaves.
_IMPEDANCE, _LARGEST_IMPEDANCE, _TIME_CONSTANT_S = 0.9, 0.95, 0.02
_DRAG = 2.0 / (_LARGEST_IMPEDANCE * _TIME_CONSTANT_S)
_SOFTNESS = (1.0 - _IMPEDANCE) / _IMPEDANCE

LEAST_INERTIA = 1e-9
"""Inertia of a body about an axis about which it has none, as `plants.plant` gives it to MuJoCo, kg
m²."""


@dataclass
class Bodies:
    """The numbers of the units' rigs that the equations need: arrays of shape [units], in SI units.

    For a cart `arm_m` is 0, for an arm the mass `sliding_kg` is 0.
    """

    rotary: NDArray[np.bool_]
    base_inertia: Array
    """kg of cart and rotor, or kg m² of arm and rotor about the arm's axis."""
    arm_m: Array
    pole_kg: Array
    centre_m: Array
    """Distance from the hinge to the centre of the pole's mass."""
    pole_inertia: Array
    """Moment of inertia of the pole about its own centre, kg m²."""
    base_damping: Array
    """Viscous friction and back-EMF."""
    pole_damping: Array
    base_friction: Array
    """Coulomb friction, N or N m."""
    pole_friction: Array

    def __post_init__(self) -> None:
        # The terms of the mass matrix that no motion changes.
        self.moment = self.pole_kg * self.centre_m
        """First moment of the pole about its hinge, kg m."""
        self.hinge_inertia = self.pole_kg * self.centre_m**2 + self.pole_inertia
        self.coupling = np.where(self.rotary, -self.arm_m, 1.0) * self.moment
        self.base_constant = self.base_inertia + np.where(
            self.rotary, self.pole_kg * self.arm_m**2 + LEAST_INERTIA, self.pole_kg
        )
        self.turning = np.where(self.rotary, self.hinge_inertia - LEAST_INERTIA, 0.0)
        """Inertia that the pole adds to the arm's when it is level, kg m²."""
        self.weight = self.moment * GRAVITY
        # Of the pole upright: MuJoCo scales the regularisation of its constraints by it.
        upright = self.base_constant * self.hinge_inertia - self.coupling**2
        self.base_stiffness = upright / (_SOFTNESS * self.hinge_inertia)
        self.pole_stiffness = upright / (_SOFTNESS * self.base_constant)

    def numbers(self) -> tuple[Array, ...]:
        """Return what `advance` needs to know about each unit, in the order of its `body`."""
        return tuple(np.asarray(getattr(self, name), np.float64) for name in _BODY)


_BODY: Final = (
    "base_constant",
    "turning",
    "coupling",
    "hinge_inertia",
    "weight",
    "base_damping",
    "pole_damping",
    "base_friction",
    "pole_friction",
    "base_stiffness",
    "pole_stiffness",
)


@dataclass
class Motion:
    """Positions and velocities of the units, arrays of shape [units]; angle 0 is upright."""

    position: Array
    angle: Array
    velocity: Array
    pole_velocity: Array


Joints = tuple[float, float, float, float, float, float, float, float, float, float, float]
"""Two joints at one instant: inertia, that of the pole about its hinge, and their coupling; the
forces on base and pole but for dry friction; the accelerations at which that is none; what it is at
most; and the stiffness of the dampers."""


@njit(cache=True)
def friction(joints: Joints, pole_slides: float) -> tuple[float, float, float]:
    """Return the dry friction: that of a stiff damper up to the limit, and from there on the limit
    itself.

    Args:
        joints: what is known.
        pole_slides: whether the pole's hinge is taken to slide forward (1), back (-1) or not (0).

    Returns:
        Friction of base and pole, and what the accelerations then say of the hinge.
    """
    inertia, hinge_inertia, coupling, base_force, pole_force = joints[:5]
    base_wanted, pole_wanted, base_most, pole_most, base_stiffness, pole_stiffness = joints[5:]
    stiff = pole_stiffness if pole_slides == 0.0 else 0.0
    hinge = hinge_inertia + stiff
    pole_sum = pole_force + stiff * pole_wanted - pole_slides * pole_most
    share = coupling / hinge
    alone = inertia - share * coupling
    push = base_force - share * pole_sum
    sticking = base_stiffness * (alone * base_wanted - push) / (alone + base_stiffness)
    base = min(max(sticking, -base_most), base_most)
    acceleration = (push + base) / alone
    excess = pole_sum / hinge - share * acceleration - pole_wanted
    force = -pole_stiffness * excess
    if abs(force) <= pole_most:
        return base, force, 0.0
    return base, math.copysign(pole_most, force), math.copysign(1.0, excess)


@njit(cache=True)
def found_friction(joints: Joints, pole_slides: float) -> tuple[float, float, float]:
    """Return the friction of base and pole, and in which direction the pole's hinge slides, if at
    all.

    Friction makes the accelerations, and they make it. Which way the hinge slides is guessed from
    the last step; where the accelerations say otherwise, what they say is tried, and else the three
    answers one by one. With that answer the base's friction has a closed form.
    """
    base, pole, slides = friction(joints, pole_slides)
    if slides == pole_slides:
        return base, pole, slides
    for guess in (slides, 0.0, 1.0, -1.0):
        base, pole, slides = friction(joints, guess)
        if slides == guess:
            break
    return base, pole, slides


@njit(cache=True)
def limited_effort(duty: float, velocity: float, motor: tuple[float, ...]) -> float:
    """Return a motor's effort without damping; `plants.motor` explains each number."""
    most, full, gain, dead, emf, stall = motor
    asked = min(max(duty, -most), most) * full
    lost = emf * velocity
    asked = min(max(asked, -stall - lost), stall - lost)
    return gain * math.copysign(max(abs(asked) - dead, 0.0), asked)


@njit(cache=True)
def advance(
    state: Array,
    pole_slides: Array,
    body: tuple[Array, ...],
    motor: tuple[Array, ...],
    steps: Array,
    step_s: Array,
    duties: Array,
) -> None:
    """Integrate the steps of each unit.

    Args:
        state: of the units: positions of base and pole and their velocities, [4, units]; is
            changed.
        pole_slides: which way each pole's hinge slid when it was last solved; is changed.
        body: `Bodies.numbers`.
        motor: of the units: greatest duty, volts or amperes of a duty of 1, effort of one of them,
            those that move nothing, those lost for each m/s, and those that the supply leaves.
        steps: of the former duty and of the present one, [2, units].
        step_s: how long each of them takes, [2, units].
        duties: the former and the present ones, [2, units].
    """
    (
        base_constants,
        turnings,
        couplings,
        hinge_inertias,
        weights,
        base_dampings,
        pole_dampings,
        base_frictions,
        pole_frictions,
        base_stiffnesses,
        pole_stiffnesses,
    ) = body
    mosts, fulls, gains, deads, emfs, stalls = motor
    for i in range(state.shape[1]):
        position, angle, velocity, pole_velocity = state[:, i]
        own = mosts[i], fulls[i], gains[i], deads[i], emfs[i], stalls[i]
        slides = pole_slides[i]
        for part in range(2):
            step = step_s[part, i]
            for _ in range(int(steps[part, i])):
                sine, cosine = math.sin(angle), math.cos(angle)
                bend = turnings[i] * sine * cosine * velocity
                inertia = base_constants[i] + turnings[i] * sine * sine
                coupling = couplings[i] * cosine
                base_force = (
                    limited_effort(duties[part, i], velocity, own)
                    - base_dampings[i] * velocity
                    + (couplings[i] * sine * pole_velocity - 2.0 * bend) * pole_velocity
                )
                pole_force = weights[i] * sine - pole_dampings[i] * pole_velocity + bend * velocity
                joints = (
                    inertia,
                    hinge_inertias[i],
                    coupling,
                    base_force,
                    pole_force,
                    -_DRAG * velocity,
                    -_DRAG * pole_velocity,
                    base_frictions[i],
                    pole_frictions[i],
                    base_stiffnesses[i],
                    pole_stiffnesses[i],
                )
                base, pole, slides = found_friction(joints, slides)
                base_force += base
                pole_force += pole
                # implicitfast: the damping of the speed after the step, not before it.
                inertia += step * base_dampings[i]
                hinge = hinge_inertias[i] + step * pole_dampings[i]
                scale = step / (inertia * hinge - coupling * coupling)
                velocity += scale * (hinge * base_force - coupling * pole_force)
                pole_velocity += scale * (inertia * pole_force - coupling * base_force)
                position += step * velocity
                angle += step * pole_velocity
        state[0, i], state[1, i] = position, angle
        state[2, i], state[3, i] = velocity, pole_velocity
        pole_slides[i] = slides
