"""The controller's law and its model of a pendulum, compiled, for one unit at a time.

`teacher.ModelBased` gives its duties; `planning` also runs it ahead in time, which is why it is
compiled. Angle 0 is upright; SI units.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numba.np.unsafe.ndarray import to_fixed_tuple
from numpy.typing import NDArray

Array = NDArray[np.float64]

State = tuple[float, float, float, float]
"""Position of the base, angle of the pole, and their velocities."""

_DELAY_STEPS: Final = 3
"""Steps in which the motion is predicted until the next duty begins to act."""


class Gains(NamedTuple):
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


class Unit(NamedTuple):
    """What the controller knows of a unit."""

    base_constant: float
    turning: float
    coupling: float
    hinge_inertia: float
    weight: float
    base_damping: float
    pole_damping: float
    base_friction: float
    pole_friction: float
    """To here as `plants.equations.Bodies` has them."""
    limit: float
    most: float
    """Greatest duty."""
    full: float
    """Effort of a duty of 1."""
    dead: float
    """Duty that moves nothing."""
    rate: float
    """Angular frequency of the pole's small swings, in rad/s."""
    strongest: float
    """Acceleration of the base at standstill and full duty."""
    fastest: float
    """Speed of the base at which full duty no longer accelerates it."""
    delay_s: float
    """Time for which the last duty still acts."""
    gain_position: float
    gain_angle: float
    gain_velocity: float
    gain_pole_velocity: float
    """Of the regulator."""


NUMBERS: Final = len(Unit._fields)


@njit(cache=True)
def unit_of(numbers: Array, i: int) -> Unit:
    """Return the unit of a row of `numbers` [units, NUMBERS]."""
    return Unit(*to_fixed_tuple(numbers[i], NUMBERS))


@njit(cache=True)
def effort_of(unit: Unit, duty: float) -> float:
    """Return the motor's effort."""
    return unit.full * math.copysign(max(abs(duty) - unit.dead, 0.0), duty)


@njit(cache=True)
def forces(unit: Unit, state: State) -> State:
    """Return the base's inertia, the coupling of the joints, and the forces on base and pole except
    the motor's."""
    _, angle, velocity, pole_velocity = state
    sine, cosine = math.sin(angle), math.cos(angle)
    bend = unit.turning * sine * cosine * velocity
    inertia = unit.base_constant + unit.turning * sine * sine
    coupling = unit.coupling * cosine
    slip = math.tanh(velocity / (0.02 * unit.fastest))
    base = (
        -unit.base_damping * velocity
        - unit.base_friction * slip
        + (unit.coupling * sine * pole_velocity - 2.0 * bend) * pole_velocity
    )
    pole = unit.weight * sine - unit.pole_damping * pole_velocity + bend * velocity
    pole -= unit.pole_friction * math.tanh(pole_velocity / (0.01 * unit.rate))
    return inertia, coupling, base, pole


@njit(cache=True)
def accelerations(unit: Unit, of_state: State, effort: float) -> tuple[float, float]:
    """Return those of base and pole, for the forces of a state."""
    inertia, coupling, base, pole = of_state
    base += effort
    scale = 1.0 / (inertia * unit.hinge_inertia - coupling * coupling)
    return scale * (unit.hinge_inertia * base - coupling * pole), scale * (
        inertia * pole - coupling * base
    )


@njit(cache=True)
def moved(unit: Unit, state: State, of_state: State, effort: float, step_s: float) -> State:
    """Return the state one step later."""
    position, angle, velocity, pole_velocity = state
    base, pole = accelerations(unit, of_state, effort)
    velocity += step_s * base
    pole_velocity += step_s * pole
    return position + step_s * velocity, angle + step_s * pole_velocity, velocity, pole_velocity


@njit(cache=True)
def predicted(unit: Unit, state: State, last_duty: float) -> State:
    """Return the state in which the next duty begins to act."""
    effort = effort_of(unit, last_duty)
    for _ in range(_DELAY_STEPS):
        step_s = unit.delay_s / _DELAY_STEPS
        state = moved(unit, state, forces(unit, state), effort, step_s)
    return state


@njit(cache=True)
def wanted_duty(unit: Unit, gains: Gains, state: State, of_state: State) -> tuple[float, bool]:
    """Return the duty that the law gives, and whether the regulator gave it.

    Args:
        unit: of which.
        gains: of the law.
        state: in which the duty begins to act.
        of_state: its `forces`.
    """
    position, angle, velocity, pole_velocity = state
    lean = (angle + math.pi) % (2.0 * math.pi) - math.pi
    duty = -(
        unit.gain_position * position
        + unit.gain_angle * lean
        + unit.gain_velocity * velocity
        + unit.gain_pole_velocity * pole_velocity
    )
    stop = stopping(unit, gains, state)
    caught = (
        abs(lean) < gains.catch_rad
        and abs(duty) < gains.catch_duty
        and abs(stop) < gains.last_edge * unit.limit
    )
    if not caught:
        duty = swinging(unit, gains, state, of_state, stop)
    # What the motor must be given to overcome its dead zone.
    duty += unit.dead * math.tanh(duty / (0.3 * unit.dead + 0.01))
    return min(max(duty, -unit.most), unit.most), caught


@njit(cache=True)
def swinging(unit: Unit, gains: Gains, state: State, of_state: State, stop: float) -> float:
    """Return the duty that pumps energy into the pole within the limits of track and motor."""
    position, angle, velocity, pole_velocity = state
    # A swing to and fro at the pole's frequency with a constant acceleration takes a stroke of
    # about that over the frequency squared, and a speed of that over the frequency.
    most_pump = min(
        gains.most_pump * unit.strongest,
        gains.stroke * unit.limit * unit.rate**2,
        gains.pace * unit.fastest * unit.rate,
    )
    energy = energy_of(unit, state) - gains.surplus
    lever = math.copysign(1.0, unit.coupling) * math.cos(angle) * pole_velocity / unit.rate
    if energy < -1.99 - gains.surplus and abs(lever) < 0.05:
        # A pole that hangs still is moved by a base that goes to and fro, forward first: about a
        # point off the middle, where a trial begins, or the way to go would hang on a hair there.
        side = math.tanh(8.0 * (position / unit.limit - 0.25))
    else:
        side = math.tanh(gains.sharpness * lever)
    pump = most_pump * math.tanh(gains.pump * energy) * side
    back = gains.centre * position / unit.limit
    back += gains.brake * velocity * unit.rate / most_pump
    wanted = pump - most_pump * back
    # Beyond the edge it must stop before the limit.
    if abs(stop) > gains.edge * unit.limit:
        side = math.copysign(1.0, stop)
        braking = gains.edge_brake * unit.strongest
        most_outward = -braking if velocity * side > 0.0 else -0.3 * most_pump
        wanted = side * min(side * wanted, most_outward)
    inertia, coupling, base, pole = of_state
    free = (pole - coupling * wanted) / unit.hinge_inertia
    return (inertia * wanted + coupling * free - base) / unit.full


@njit(cache=True)
def energy_of(unit: Unit, state: State) -> float:
    """Return the pole's energy beyond the upright pole's, in units of its weight's moment."""
    _, angle, _, pole_velocity = state
    return 0.5 * (pole_velocity / unit.rate) ** 2 + math.cos(angle) - 1.0


@njit(cache=True)
def stopping(unit: Unit, gains: Gains, state: State) -> float:
    """Return where a base that is braked now comes to rest."""
    position, angle, velocity, pole_velocity = state
    if gains.braking_steps > 0:
        # Braked half as well as a motor without a pole would, it stops within these steps.
        step_s = 2.0 * abs(velocity) / (unit.strongest * gains.braking_steps)
        effort = -np.sign(velocity) * unit.full * (unit.most - unit.dead)
        for _ in range(gains.braking_steps):
            now = position, angle, velocity, pole_velocity
            base, pole = accelerations(unit, forces(unit, now), effort)
            # It stops, and is not driven back.
            after = velocity + step_s * base
            if after * effort >= 0.0:
                after = 0.0
            pole_velocity += step_s * pole
            position += 0.5 * step_s * (velocity + after)
            angle += step_s * pole_velocity
            velocity = after
    # Even braking takes v²/2a.
    return position + velocity * abs(velocity) / (2.0 * gains.edge_brake * unit.strongest)


@njit(cache=True)
def duties_of(
    numbers: Array, gains: Gains, motion: tuple[Array, Array, Array, Array], last_duty: Array
) -> Array:
    """Return the duties of many units, [units].

    Args:
        numbers: of the units, [units, NUMBERS].
        gains: of the law.
        motion: present positions of bases and poles, and their velocities, [units] each.
        last_duty: that acts until the delay is over, [units].
    """
    duties = np.empty_like(last_duty)
    position, angle, velocity, pole_velocity = motion
    for i in range(len(duties)):
        unit = unit_of(numbers, i)
        state = (position[i], angle[i], velocity[i], pole_velocity[i])
        state = predicted(unit, state, last_duty[i])
        duties[i], _ = wanted_duty(unit, gains, state, forces(unit, state))
    return duties
