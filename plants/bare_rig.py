"""Rig files that state what a board must know and no masses: the other numbers come from the middle
of the ranges.

A policy for any rig needs no masses, lengths or friction; a simulator does. A bare file is made
whole by what lies in the middle of what people build, and what was put in is named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.plants.drawing import (
    Ranges,
    families,
    feasible,
    figures_of,
    load_ranges,
    middle_table,
    rig_text,
)
from sparsectl.plants.motor import Motor
from sparsectl.plants.rig import LINEAR, ROTARY, Rig, parse_rig
from sparsectl.plants.rig_file import read_table, shown

_NEEDED: dict[str, dict[str | None, dict[str, str]]] = {
    LINEAR: {
        None: {"period_s": "the control period in s, such as 0.02"},
        "base": {
            "unit_per_count": "the travel of one count of the base's encoder, in m",
            "limit": "the travel to either side of the middle at which the board stops, in m",
        },
        "pole": {"counts_per_turn": "the counts of a turn of the pole's encoder"},
    },
    ROTARY: {
        None: {"period_s": "the control period in s, such as 0.01"},
        "base": {
            "unit_per_count": "the angle of one count of the arm's encoder, in rad",
            "limit": "the angle to either side of the middle at which the board stops, in rad",
            "length_m": "the length of the arm, from its axis to the pole's hinge, in m",
        },
        "pole": {"counts_per_turn": "the counts of a turn of the pole's encoder"},
    },
}
"""The keys that every file must have, by model and section."""

SECTIONS = ("base", "pole", "motor", "start", "randomisation")


@dataclass(frozen=True)
class Whole:
    """A rig with all of its numbers."""

    rig: Rig
    text: str
    """The TOML of a file with all of these numbers."""
    guessed: tuple[str, ...]
    """The numbers of base, pole and motor that its own file does not give."""


def whole_rig(path: Path, ranges: Ranges) -> Whole:
    """Read the file of a rig, which may lack everything that a board need not know.

    Raises:
        UserError: not a rig's file, one of another model, what is needed is missing, or a number
            is out of its range.
    """
    own = read_table(path)
    model = own.get("model", ranges.model)
    if model != ranges.model:
        raise UserError(
            f"{path}: model is {model!r}, and the policy for any {ranges.name} drives "
            f"{ranges.model!r} alone; {_way_out(model, path)}"
        )
    for section, keys in _NEEDED[ranges.model].items():
        _check_needed(own, section, keys, path)
    if own.get("motor", {}).get("kind", "voltage") != "voltage":
        table, guessed = own, []
    else:
        period_s = _positive(own, None, "period_s", path)
        known: dict[str, float] = {
            key: _positive(own, "base", key, path)
            for key in ("limit", "length_m")
            if key in _NEEDED[ranges.model]["base"]
        }
        middle = middle_table(ranges, period_s, known)
        table = _merged(own, {**middle, "title": path.stem})
        guessed = list(_guessed(own, table))
    return Whole(parse_rig(table, path), rig_text(table), tuple(guessed))


def whole_rig_of(path: Path, model: str) -> Whole:
    """Read the file of a rig of this model as `whole_rig` does.

    Raises:
        UserError: as `whole_rig`.
    """
    every = (load_ranges(family) for family in families())
    return whole_rig(path, next(ranges for ranges in every if ranges.model == model))


def _way_out(model: object, path: Path) -> str:
    """Return how a rig of a model can be driven that a family's policy is not for."""
    for family in families():
        if load_ranges(family).model == model:
            return f"give any-{family}"
    return f"train one for this rig by `sparsectl teach --env {path}`"


def _check_needed(
    own: dict[str, Any], section: str | None, keys: dict[str, str], path: Path
) -> None:
    for name in SECTIONS:
        if not isinstance(own.get(name, {}), dict):
            raise UserError(f"{path}: {name} is {own[name]!r}; make it a table, [{name}]")
    table = own if section is None else own.get(section, {})
    for key, what in keys.items():
        if key not in table:
            where = key if section is None else f"[{section}] {key}"
            raise UserError(f"{path}: {where} is missing; give {what}")


def _positive(own: dict[str, Any], section: str | None, key: str, path: Path) -> float:
    """Return a number from which others follow; `parse_rig` checks the others."""
    value = (own if section is None else own[section])[key]
    where = key if section is None else f"[{section}] {key}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
        raise UserError(f"{path}: {where} is {shown(value)}; give a number above 0")
    return float(value)


def _merged(own: dict[str, Any], middle: dict[str, Any]) -> dict[str, Any]:
    """Return what the file states, with numbers from the middle of the ranges where it states
    nothing."""
    merged = {**middle, **own}
    for section in SECTIONS:
        said = own.get(section, {})
        # Beside a mass that is given, what is not given of rotor and tip is none, as in any file.
        absent = _NONE_BESIDE_MASS if "mass_kg" in said else frozenset()
        merged[section] = {
            key: value for key, value in middle[section].items() if key not in absent
        } | said
    return merged


def _guessed(own: dict[str, Any], table: dict[str, Any]) -> Iterator[str]:
    for section in ("base", "pole", "motor"):
        for key in table[section]:
            if key not in own.get(section, {}) and key != "unit":
                yield f"[{section}] {key}"


_NONE_BESIDE_MASS = frozenset({"rotor_inertia", "tip_mass_kg"})


def _derived_outside(rig: Rig, ranges: Ranges) -> Iterator[str]:
    """Yield the numbers outside their ranges that the ranges hold as a share, or as an acceleration
    or a speed of the hinge."""
    base, pole, motor = rig.base, rig.pole, rig.motor
    # An arm's rotor counts as a share of the arm's inertia about its axis.
    rotor_kg = base.rotor_inertia * (3.0 / rig.lever_m**2 if rig.is_rotary else 1.0)
    share = (pole.mass_kg + pole.tip_mass_kg) / (base.mass_kg + rotor_kg)
    spread = ranges.numbers["pole"]["mass_share"]
    if not spread.holds(share):
        yield (
            f"[pole] mass_kg and tip_mass_kg are {share:.2f} of the base's, outside of "
            f"{spread.low:g} to {spread.high:g}"
        )
    if rig.is_rotary:
        spread, counts = ranges.numbers["base"]["counts_per_turn"], math.tau / base.unit_per_count
        if not spread.holds(abs(counts)):
            yield (
                f"[base] unit_per_count makes {abs(counts):.0f} counts a turn, outside of "
                f"{spread.low:g} to {spread.high:g}"
            )
    if not isinstance(motor, Motor):
        return
    push = motor.full_effort / rig.moved_inertia * rig.lever_m
    spread = ranges.numbers["motor"]["acceleration"]
    if not spread.holds(push):
        yield (
            f"[motor] effort_per_volt makes {push:.1f} m/s2 of base and pole at the full supply, "
            f"outside of {spread.low:g} to {spread.high:g}"
        )
    spread = ranges.numbers["motor"]["no_load_speed"]
    speed = motor.supply_v / motor.back_emf_v * rig.lever_m if motor.back_emf_v else float("inf")
    if not spread.holds(speed):
        yield (
            f"[motor] back_emf_v lets it turn up to {speed:.2f} m/s, outside of {spread.low:g} to "
            f"{spread.high:g}"
        )


def outside_of(whole: Whole, ranges: Ranges) -> list[str]:
    """Return which of a rig's numbers lie outside these ranges, in words, with the range.

    Of what is a share of something else, the pole's mass, the motor's push and its speed are looked
    at; a friction only in so far as the rig cannot be swung up with it.
    """
    rig = whole.rig
    values = {
        ("base", "mass_kg"): rig.base.mass_kg,
        ("base", "length_m"): rig.base.length_m,
        ("base", "limit"): rig.base.limit,
        ("base", "unit_per_count"): abs(rig.base.unit_per_count),
        ("pole", "length_m"): rig.pole.length_m,
        ("pole", "counts_per_turn"): abs(rig.pole.counts_per_turn),
        ("motor", "supply_v"): rig.motor.supply_v,
    }
    found = [
        f"[{section}] {key} is {value:g}, outside of {spread.low:g} to {spread.high:g}"
        for (section, key), value in values.items()
        if key in ranges.numbers[section]
        and not (spread := ranges.numbers[section][key]).holds(value)
    ]
    found += _derived_outside(rig, ranges)
    low, high = min(ranges.periods_s), max(ranges.periods_s)
    if not low <= rig.period_s <= high:
        found.insert(0, f"period_s is {rig.period_s:g}, outside of {low:g} to {high:g}")
    if rig.motor.max_duty < 1.0:
        found.append(f"[motor] max_duty is {rig.motor.max_duty:g}, and there it was always 1")
    if not isinstance(rig.motor, Motor):
        found.append("[motor] kind is current, and there it was always voltage")
    elif not whole.guessed and not feasible(rig):
        figures = figures_of(rig)
        found.append(
            f"its motor pushes the pole's hinge with {figures.push:.1f} m/s2 up to "
            f"{figures.speed:.2f} m/s{_pull_of(rig)}, by which motor, track and period may not "
            f"suffice for a pole that swings like one of {figures.length_m:.2f} m"
        )
    return found


def _pull_of(rig: Rig) -> str:
    """Return in words what the pole of an arm pulls, where that decides whether it can be held."""
    if not rig.is_rotary:
        return ""
    return f", of which the swinging pole's pull takes {figures_of(rig).pull:.0%}"
