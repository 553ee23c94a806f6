"""Draw rigs from wide ranges, for a policy that is to drive pendulums that it has never seen.

The ranges, with their sources, are in `ranges/`. A drawn rig is an ordinary rig: it passes the
checks of every rig file, and `rig_text` writes it as one.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.plants.gravity import GRAVITY
from sparsectl.plants.rig import LINEAR, Rig, parse_rig

RANGES_FOLDER = Path(__file__).parent / "ranges"

DIGITS: Final = 5
"""Significant digits of a drawn number, as a rig file has it."""

_MOST_TRIES: Final = 1000

_SECTIONS: Final = ("base", "pole", "motor", "line")

LEAST_LEAN_RAD: Final = 0.42
"""A motor must be able to push the pole back up from this lean, its hinge pushed as hard as can be:
one that cannot neither catches the pole nor swings it up within its track."""

LEAST_SPEED: Final = 0.3
"""The least speed of the hinge at full duty, in units of the speed at which the pole falls (the
square root of gravity times length)."""

MOST_FALL: Final = 0.4
"""The most time that may pass before a command acts, in units of the time in which the lean of an
upright pole grows e-fold."""

LEAST_TRACK: Final = 0.5
"""Travel of the hinge to either side, in lengths of the pole's equivalent simple pendulum."""

MOST_PULL: Final = 1.0
"""The greatest pull of a swinging pole on its arm, in units of the motor's effort at full duty. A
motor that cannot hold the arm against its pole is swung by it, and steers neither."""

PULL: Final = 1.5 * math.sqrt(3.0)
"""Greatest of 2 sin(a) (1 - cos(a)), a being the pole's angle from upright. A swing that just
reaches upright has 2 (1 - cos(a)) of speed squared, in units of its frequency, and of the
centrifugal force the sine's share is level."""

_REST: Final = {
    "base_mass_factor": [1.0, 1.0],
    "pole_mass_factor": [1.0, 1.0],
    "pole_length_factor": [1.0, 1.0],
    "viscous_friction_factor": [1.0, 1.0],
    "coulomb_friction_factor": [1.0, 1.0],
    "supply_factor": [1.0, 1.0],
    "dead_zone_factor": [1.0, 1.0],
}
"""A drawn rig is one unit: nothing differs from one of its episodes to the next but the start."""


@dataclass(frozen=True)
class Spread:
    """The range that a number is drawn from."""

    low: float
    high: float
    logarithmic: bool = False

    def draw(self, random: np.random.Generator) -> float:
        if self.logarithmic:
            return math.exp(random.uniform(math.log(self.low), math.log(self.high)))
        return random.uniform(self.low, self.high)

    @property
    def middle(self) -> float:
        """Return the median of the drawn numbers."""
        if self.logarithmic:
            return math.sqrt(self.low * self.high)
        return (self.low + self.high) / 2.0

    def holds(self, value: float) -> bool:
        """Return whether a number lies within the range, allowing for the rounding of its
        digits."""
        slack = 10.0 ** (1 - DIGITS)
        return self.low * (1 - slack) <= value <= self.high * (1 + slack)


@dataclass(frozen=True)
class Ranges:
    """The ranges of one family of rigs; `numbers` by section and key, as in the file."""

    name: str
    model: str
    frames: int
    periods_s: tuple[float, ...]
    numbers: dict[str, dict[str, Spread]]
    corner: dict[str, dict[str, Spread]]
    """Narrower ranges of some of the numbers: rigs that are hard, and rare when all numbers are
    drawn from the whole ranges."""
    corner_periods_s: tuple[float, ...]


def families() -> list[str]:
    """Return the names of the families of rigs that can be drawn."""
    return sorted(path.stem for path in RANGES_FOLDER.glob("*.toml"))


@cache
def load_ranges(family: str) -> Ranges:
    """Return the ranges of a family.

    Raises:
        UserError: there is no such family.
    """
    if family not in families():
        raise UserError(f"no ranges of {family!r}; known: {', '.join(families())}")
    table = tomllib.loads((RANGES_FOLDER / f"{family}.toml").read_text(encoding="utf-8"))
    corner = table["corner"]
    return Ranges(
        family,
        table["model"],
        table["frames"],
        tuple(table["period_s"]["choices"]),
        _spreads(table),
        _spreads(corner),
        tuple(corner["periods_s"]),
    )


def _spreads(table: dict[str, Any]) -> dict[str, dict[str, Spread]]:
    """Return the ranges of a file's table by section and key."""
    return {
        section: {
            key: Spread(value[0], value[1], value[2:] == ["log"])
            for key, value in table.get(section, {}).items()
        }
        for section in _SECTIONS
    }


def draw_rig(family: str, seed: int, *, corner: bool = False) -> Rig:
    """Draw the rig of this number, which its motor can swing up (`feasible`), from the whole ranges
    or from their corner.

    Raises:
        UserError: there is no such family.
    """
    table = draw_table(family, seed, corner=corner)
    return parse_rig(table, Path(f"{family}_{seed}.toml"))


def draw_table(family: str, seed: int, *, corner: bool = False) -> dict[str, Any]:
    """Draw the rig of this number, as the table of its file.

    Raises:
        UserError: there is no such family.
    """
    ranges = load_ranges(family)
    # The same number must give the same rig as ever, and another one in the corner.
    entropy = [families().index(family), seed] + [1] * corner
    random = np.random.default_rng(entropy)
    periods_s = ranges.corner_periods_s if corner else ranges.periods_s
    narrowed = ranges.corner if corner else {}
    numbers = {
        section: {**keys, **narrowed.get(section, {})} for section, keys in ranges.numbers.items()
    }
    for _ in range(_MOST_TRIES):
        period_s = float(random.choice(periods_s))
        drawn = {
            section: {key: spread.draw(random) for key, spread in keys.items()}
            for section, keys in numbers.items()
        }
        table = _table(ranges, seed, period_s, drawn)
        if feasible(parse_rig(table, Path(f"{family}_{seed}.toml"))):
            return table
    raise AssertionError(f"of {_MOST_TRIES} rigs drawn from {family} none can be swung up")


def feasible(rig: Rig) -> bool:
    """Return whether the motor can swing the pole up and hold it, as far as plain mechanics tells.

    Its push at standstill, less dead zone and friction, must catch the pole from a lean; its speed
    must reach the pole's fall; the track must hold the stroke; a command must come before the pole
    has fallen far. Of an arm the motor must also hold what its pole pulls.
    """
    figures = figures_of(rig)
    fall_s = math.sqrt(figures.length_m / GRAVITY)
    delay = rig.randomisation.transport_delay_periods[1]
    return (
        figures.push >= GRAVITY * math.tan(LEAST_LEAN_RAD)
        and figures.speed >= LEAST_SPEED * math.sqrt(GRAVITY * figures.length_m)
        and rig.base.limit * rig.lever_m >= LEAST_TRACK * figures.length_m
        and rig.period_s * (1.0 + delay) <= MOST_FALL * fall_s
        and (not rig.is_rotary or figures.pull <= MOST_PULL)
    )


@dataclass(frozen=True)
class Figures:
    """The numbers that decide whether a rig can be swung up, at the pole's hinge, in m and s."""

    length_m: float
    """Length of the simple pendulum that swings as the pole does."""
    push: float
    """Acceleration at standstill and full duty, less dead zone and Coulomb friction."""
    speed: float
    """Speed of the hinge at which the full duty no longer accelerates it."""
    pull: float
    """Greatest pull of a pole on the base as it swings up, as a share of the effort at full duty,
    less dead zone and Coulomb friction."""


def figures_of(rig: Rig) -> Figures:
    """Return the figures of a rig."""
    base, pole, motor, lever_m = rig.base, rig.pole, rig.motor, rig.lever_m
    effort = motor.effort(motor.max_duty, 0.0, 1.0, 1.0) - base.coulomb_friction
    drag = motor.damping + base.viscous_friction
    pull = PULL * pole.moment_kgm**2 * GRAVITY / pole.inertia_kgm2 * lever_m
    return Figures(
        length_m=pole.inertia_kgm2 / pole.moment_kgm,
        push=effort / rig.moved_inertia * lever_m,
        speed=effort / drag * lever_m,
        pull=pull / effort,
    )


def middle_table(ranges: Ranges, period_s: float, base: Mapping[str, float]) -> dict[str, Any]:
    """Return the table of a rig in the middle of the ranges, with its own period and these numbers
    of its base."""
    middle = {
        section: {key: spread.middle for key, spread in keys.items()}
        for section, keys in ranges.numbers.items()
    }
    middle["base"] |= base
    table = _table(ranges, 0, period_s, middle)
    lines = {key: [spread.low, spread.high] for key, spread in ranges.numbers["line"].items()}
    lines["period_jitter"] = [0.0, ranges.numbers["line"]["period_jitter"].high]
    return {**table, "randomisation": {**table["randomisation"], **lines}}


def _table(
    ranges: Ranges, seed: int, period_s: float, drawn: dict[str, dict[str, float]]
) -> dict[str, Any]:
    """Return the table of a rig from the drawn numbers, each of which is a share of a number that
    it acts together with."""
    base, pole, motor, line = (drawn[name] for name in ("base", "pole", "motor", "line"))
    linear = ranges.model == LINEAR
    lever_m = 1.0 if linear else base["length_m"]
    pole_kg = base["mass_kg"] * (1.0 + base["rotor_share"]) * pole["mass_share"]
    rod_kg = pole_kg / (1.0 + pole["tip_share"])
    tip_kg = pole_kg - rod_kg
    moment = (rod_kg / 2.0 + tip_kg) * pole["length_m"]
    pole_inertia = (rod_kg / 3.0 + tip_kg) * pole["length_m"] ** 2
    weight = moment * GRAVITY
    own = base["mass_kg"] * (1.0 if linear else lever_m**2 / 3.0)
    rotor = own * base["rotor_share"]
    moved = own + rotor + pole_kg * lever_m**2
    effort = motor["acceleration"] / lever_m * moved
    fastest = motor["no_load_speed"] / lever_m
    if linear:
        unit = base["unit_per_count"]
    else:
        unit = 2.0 * math.pi / round(base["counts_per_turn"])
    whole = {
        "base": {
            "mass_kg": base["mass_kg"],
            **({} if linear else {"length_m": lever_m}),
            "rotor_inertia": rotor,
            "unit_per_count": unit,
            "limit": base["limit"],
            "velocity_scale": fastest,
            "rate_limit": 3.0 * fastest,
            "viscous_friction": base["viscous_share"] * effort / fastest,
            "coulomb_friction": base["friction_share"] * effort,
        },
        "pole": {
            "mass_kg": rod_kg,
            "length_m": pole["length_m"],
            "tip_mass_kg": tip_kg,
            "velocity_scale": 2.0 * math.sqrt(weight / pole_inertia),
            "rate_limit": 12.0 * math.sqrt(weight / pole_inertia),
            "viscous_friction": 2.0 * pole["damping_share"] * math.sqrt(weight * pole_inertia),
            "coulomb_friction": pole["friction_share"] * weight,
        },
        "motor": {
            "supply_v": motor["supply_v"],
            "effort_per_volt": effort / motor["supply_v"],
            "back_emf_v": motor["supply_v"] / fastest,
            "dead_zone_v": motor["dead_zone_share"] * motor["supply_v"],
            "max_duty": 1.0,
        },
    }
    table: dict[str, Any] = {
        "title": f"Drawn: {ranges.name} {seed}",
        "model": ranges.model,
        "period_s": period_s,
        "frames": ranges.frames,
        **{
            section: {key: _rounded(x) for key, x in keys.items()}
            for section, keys in whole.items()
        },
        "start": {
            "base": _rounded(0.15 * base["limit"]),
            "pole_rad": 0.1,
            "base_velocity": 0.0,
            "pole_velocity": 0.1,
        },
        "randomisation": {
            **_REST,
            **{key: [_rounded(value)] * 2 for key, value in line.items()},
        },
    }
    table["base"]["unit"] = "m" if linear else "rad"
    table["pole"]["counts_per_turn"] = round(pole["counts_per_turn"])
    return table


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def rig_text(table: dict[str, Any]) -> str:
    """Return the TOML of a rig's table."""
    lines = [f"{key} = {_value(value)}" for key, value in table.items() if not _is_table(value)]
    for section, keys in table.items():
        if _is_table(keys):
            lines += ["", f"[{section}]", *(f"{key} = {_value(x)}" for key, x in keys.items())]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    return repr(value)
