"""Numbers of a rig file that no pendulum has: mistakes of unit and sign, found before a trial."""

from __future__ import annotations

import math
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.plants.gravity import GRAVITY
from sparsectl.plants.motor import Motor

if TYPE_CHECKING:
    from sparsectl.plants.rig import Rig

MOST_M: Final = 5.0
"""Greatest length of a pole, of an arm, or of a track to either side, in m."""
LEAST_M: Final = 1e-4
MOST_KG: Final = 50.0
LEAST_KG: Final = 1e-7
MOST_ARM_RAD: Final = 10 * 2.0 * math.pi
MOST_VOLTS: Final = 1000.0
MOST_AMPERES: Final = 1000.0
MOST_POLE_RATE: Final = 1000.0
"""Greatest speed of a pole, in rad/s: 160 turns per second."""
MOST_COUNTS: Final = 10**8
"""Most encoder counts in a turn, or in a control period at a rate limit: 26 bits of a turn."""
LEAST_COUNTS: Final = 20
"""Fewest encoder counts in a turn of the pole, or from the base's middle to its limit; coarser is
not control."""
MOST_START_RAD: Final = 3.1416
"""Half a turn, as it may be rounded up."""
MOST_BIAS_RAD: Final = 0.5
MOST_FACTOR: Final = 100.0
"""By which a randomised number may be larger than the rig's own."""
MOST_M_S2: Final = 1e5
"""What a motor gives the hinge at most: ten thousand times gravity."""
LEAST_M_S2: Final = 0.1
"""What a motor must give the hinge at most, a hundredth of gravity: less swings no pole up."""


UNNOTICED_RAD: Final = 1e-6
"""A drift of the pole's angle per turn that no trial is long enough to notice."""


def warn_of_fractional_counts(rig: Rig) -> None:
    """Warn of a pole encoder whose counts of a turn are not a whole number.

    That is right only behind a gear. The firmware's angle is exact for any number
    (core/angle.c); the number itself is known as far as its digits go.
    """
    counts = rig.pole.counts_per_turn
    if counts == round(counts):
        return
    last_digit = 10.0 ** int(Decimal(repr(counts)).as_tuple().exponent)
    drift_rad = math.pi * last_digit / abs(counts)  # half of the last digit, over a turn
    digits = f"; as written, the angle may drift by {drift_rad:.1g} rad a turn: give more digits"
    warn(
        f"rig {rig.name}: [pole] counts_per_turn is {counts!r}, which only an encoder behind a "
        f"gear has{digits if drift_rad > UNNOTICED_RAD else ''}"
    )


def check_plausible(rig: Rig, path: Path) -> None:
    """Refuse a rig that cannot exist.

    Raises:
        UserError: the number, and what is most likely wrong with it.
    """
    for findings in (_sizes, _signs, _counts, _motor, _ranges):
        for what, wrong in findings(rig):  # the next ones divide by what these have found sound
            if wrong:
                raise UserError(f"{path}: {what}")


Finding = tuple[str, bool]


def _sizes(rig: Rig) -> list[Finding]:
    base, pole, motor = rig.base, rig.pole, rig.motor
    lengths = {"[pole] length_m": pole.length_m, "[base] length_m": base.length_m}
    if not rig.is_rotary:
        lengths |= {"[base] limit": base.limit, "[base] limit_switch_at": base.limit_switch_at}
    masses = {
        "[base] mass_kg": base.mass_kg,
        "[pole] mass_kg": pole.mass_kg,
        "[pole] tip_mass_kg": pole.tip_mass_kg,
    }
    limit_a = motor.current_limit_a
    return [
        *(
            (f"{k} is {v:g}; give it in m, at most {MOST_M:g}", v > MOST_M)
            for k, v in lengths.items()
        ),
        *(
            (f"{k} is {v:g}; give it in m, at least {LEAST_M:g}", 0 < v < LEAST_M)
            for k, v in lengths.items()
        ),
        *(
            (f"{k} is {v:g}; give it in kg, at least {LEAST_KG:g}", 0 < v < LEAST_KG)
            for k, v in masses.items()
        ),
        *(
            (f"{k} is {v:g}; give it in kg, at most {MOST_KG:g}", v > MOST_KG)
            for k, v in masses.items()
        ),
        (
            f"[base] limit is {base.limit:g}; give it in rad, at most ten turns",
            rig.is_rotary and base.limit > MOST_ARM_RAD,
        ),
        (f"[motor] supply_v is {motor.supply_v:g}; give it in V", motor.supply_v > MOST_VOLTS),
        (f"[motor] current_limit_a is {limit_a:g}; give it in A", limit_a > MOST_AMPERES),
        (
            f"[pole] rate_limit is {pole.rate_limit:g}; give rad/s, at most {MOST_POLE_RATE:g}",
            pole.rate_limit > MOST_POLE_RATE,
        ),
    ]


def _signs(rig: Rig) -> list[Finding]:
    motor = rig.motor
    own = {"stall_current_a": motor.stall_current_a} if isinstance(motor, Motor) else {}
    dead = "dead_zone_v" if isinstance(motor, Motor) else "dead_zone_a"
    values = {
        # what identification puts here may take back some of a back-EMF that the file has too large
        "[base] viscous_friction, with the motor's damping,": rig.base.viscous_friction
        + motor.damping,
        "[base] coulomb_friction": rig.base.coulomb_friction,
        "[pole] viscous_friction": rig.pole.viscous_friction,
        "[pole] coulomb_friction": rig.pole.coulomb_friction,
        f"[motor] {dead}": getattr(motor, dead),
        **{f"[motor] {name}": value for name, value in own.items()},
        **{f"[start] {field.name}": getattr(rig.start, field.name) for field in fields(rig.start)},
    }
    return [(f"{k} is {v:g}; it must be 0 or more", v < 0) for k, v in values.items()]


def _counts(rig: Rig) -> list[Finding]:
    base, pole = rig.base, rig.pole
    slow = base.velocity_scale * 1000 < base.rate_limit
    slow |= pole.velocity_scale * 1000 < pole.rate_limit
    fast = base.velocity_scale > base.rate_limit * 1000
    fast |= pole.velocity_scale > pole.rate_limit * 1000
    there = base.limit / abs(base.unit_per_count)
    step = base.rate_limit * rig.period_s / abs(base.unit_per_count)
    turned = pole.rate_limit * rig.period_s * abs(pole.counts_per_turn) / (2 * math.pi)
    fall = math.sqrt(pole.moment_kgm * GRAVITY / pole.inertia_kgm2)
    return [
        (
            f"period_s is {rig.period_s:g}; give it in s, 0.0005 to 1",
            not 0.0005 <= rig.period_s <= 1,
        ),
        ("a velocity_scale is below a thousandth of its rate_limit; give a usual speed", slow),
        ("a velocity_scale is above a thousand times its rate_limit; give a usual speed", fast),
        (
            f"[base] unit_per_count is {base.unit_per_count:g}, which makes {there:.2g} counts of "
            f"the limit of {base.limit:g}, {LEAST_COUNTS} are needed; give {base.unit} a count",
            there < LEAST_COUNTS,
        ),
        (
            f"[pole] counts_per_turn is {pole.counts_per_turn:g}; give at least {LEAST_COUNTS}",
            abs(pole.counts_per_turn) < LEAST_COUNTS,
        ),
        (
            f"[pole] counts_per_turn is {pole.counts_per_turn:g}; give at most {MOST_COUNTS:,}",
            abs(pole.counts_per_turn) > MOST_COUNTS,
        ),
        (
            f"[base] unit_per_count is {base.unit_per_count:g}, {step:.2g} counts in a control "
            f"period at the rate_limit; give {base.unit} a count, {MOST_COUNTS:,} counts at most",
            max(step, there) > MOST_COUNTS,
        ),
        (
            f"[pole] rate_limit is {pole.rate_limit:g} rad/s, {turned:.2g} counts in a control "
            f"period; give a rate_limit, counts_per_turn or period_s of {MOST_COUNTS:,} at most",
            turned > MOST_COUNTS,
        ),
        (
            f"[base] rate_limit is {base.rate_limit:g}, {step:.2g} counts in a control period, "
            f"which any motion exceeds; give {base.unit}/s, three times its fastest",
            step < 2,
        ),
        (
            f"[pole] rate_limit is {pole.rate_limit:g} rad/s, and a pole of this length reaches "
            f"{2 * fall:.1f} as it falls; give three times that",
            pole.rate_limit < fall,
        ),
        (
            f"[start] base is {rig.start.base:g}, not within the limit of {base.limit:g}",
            rig.start.base >= base.limit,
        ),
        *_start(rig),
    ]


def _start(rig: Rig) -> list[Finding]:
    """Beyond half a turn an angle says nothing more, so that it must be in degrees."""
    start, base, pole = rig.start, rig.base, rig.pole
    return [
        (
            f"[start] pole_rad is {start.pole_rad:g}; give it in rad, 0 to {math.pi:.5g}",
            start.pole_rad > MOST_START_RAD,
        ),
        (
            f"[start] base_velocity is {start.base_velocity:g} {base.unit}/s, not within the "
            f"rate_limit of {base.rate_limit:g}, at which the board stops the motor",
            start.base_velocity >= base.rate_limit,
        ),
        (
            f"[start] pole_velocity is {start.pole_velocity:g} rad/s, not within the rate_limit of "
            f"{pole.rate_limit:g}, at which the board stops the motor",
            start.pole_velocity >= pole.rate_limit,
        ),
    ]


def _motor(rig: Rig) -> list[Finding]:
    motor = rig.motor
    effort = motor.effort(motor.max_duty, 0.0, 1.0, 1.0)
    inertia, rotor = rig.moved_inertia, rig.base.rotor_inertia
    fastest = effort / inertia * rig.lever_m
    heavy = f"[base] rotor_inertia is {rotor:g}" if rotor > inertia / 2 else "a mass is too large"
    return [
        (
            "[motor] gives nothing beyond its dead zone at max_duty; mend dead zone, max_duty or "
            "supply",
            effort <= 0,
        ),
        (
            f"[base] coulomb_friction is {rig.base.coulomb_friction:g}, more than the {effort:.3g} "
            "that the motor gives at max_duty: it cannot move; mend one",
            0 < effort <= rig.base.coulomb_friction,
        ),
        (
            f"the motor accelerates the base with {fastest:.2g} m/s^2, above {MOST_M_S2:g}: a mass "
            f"is too small, or its effort too large; give kg{' m^2' * rig.is_rotary} and SI",
            fastest > MOST_M_S2,
        ),
        (
            f"the motor accelerates the base with {fastest:.2g} m/s^2 at most, {LEAST_M_S2:g} are "
            f"needed: {heavy}, or its effort too small; give kg{' m^2' * rig.is_rotary} and SI",
            0 < fastest < LEAST_M_S2,
        ),
    ]


def _ranges(rig: Rig) -> list[Finding]:
    ranges = rig.randomisation
    positive = ("base_mass_factor", "pole_mass_factor", "pole_length_factor", "supply_factor")
    found = []
    for field in fields(ranges):
        low, high = getattr(ranges, field.name)
        name = f"[randomisation] {field.name} is [{low:g}, {high:g}]"
        if field.name == "rest_angle_bias_rad":
            wrong = max(abs(low), abs(high)) > MOST_BIAS_RAD
            found.append((f"{name}; give it in rad, at most {MOST_BIAS_RAD:g}", wrong))
        elif field.name == "period_jitter":
            found.append(
                (f"{name}; give shares of a period, 0 to below 1", not 0 <= low <= high < 1)
            )
        elif high > MOST_FACTOR:
            found.append((f"{name}; give at most {MOST_FACTOR:g}", True))
        elif field.name in positive:
            found.append((f"{name}; a factor must be above 0", low <= 0))
        else:
            found.append((f"{name}; it must be 0 or more", low < 0))
    return found
