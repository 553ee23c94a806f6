"""Write a rig file with the estimated parameters, and their intervals as ranges."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.hil.identification.fit import Fit
from sparsectl.hil.identification.unknowns import UNKNOWNS, key
from sparsectl.plants.motor import CurrentMotor, Motor
from sparsectl.plants.rig import Base, Pole, Range, Rig, Start, parse_rig

LEAST_HALF_RANGE = 0.05
"""The least range for training, ±5 % of a value: a policy fitted to one day's friction is
brittle."""

MISCOUNT = 0.005
"""Share by which a fit must miss the counts of the initial rig's file to be believed rather: a
gear that was forgotten makes more, and a model that lacks something of the rig less."""


def rig_toml(fit: Fit, source: str) -> str:
    """Return the rig file; `source` names what it was estimated from.

    Other values (starts, limits, jitter) are those of the initial rig.

    Raises:
        UserError: what was found is no rig: a mass that is negative, say.
    """
    rig = _with_ranges(fit)
    sections: dict[str, Base | Pole | Motor | CurrentMotor | Start] = {
        "base": rig.base,
        "pole": rig.pole,
        "motor": rig.motor,
        "start": rig.start,
    }
    interval = {key(u): (fit.low[i], fit.high[i]) for i, u in enumerate(UNKNOWNS)}
    lines = [
        f"# Found by `sparsectl identify` from {source}, starting from rig {rig.name}.",
        "# SI units; [a, b] behind a number is its 95 % interval.",
        "",
        f"title = {_value(rig.title)}",
        f"model = {_value(rig.model)}",
        f"period_s = {_value(rig.period_s)}",
        f"frames = {rig.frames}",
    ]
    for name, section in sections.items():
        lines += ["", f"[{name}]"]
        for field, value in asdict(section).items():
            if field == "duties" and not value:
                continue
            low_high = interval.get(f"{name}.{field}")
            behind = f"  # [{low_high[0]:.6g}, {low_high[1]:.6g}]" if low_high else ""
            # What the file gave is exact, and a part of it would be another angle in each turn.
            shown = repr(value) if field == "counts_per_turn" else _value(value)
            lines.append(f"{field} = {shown}{behind}")
    lines += ["", "[randomisation]"]
    for range_field in fields(rig.randomisation):
        low, high = getattr(rig.randomisation, range_field.name)
        lines.append(f"{range_field.name} = [{_value(low)}, {_value(high)}]")
    text = "\n".join(lines) + "\n"
    try:
        parse_rig(tomllib.loads(text), Path(f"{rig.name}.toml"))
    except UserError as error:
        reason = str(error).removeprefix(f"{rig.name}.toml: ")
        raise UserError(
            f"{source} fit no pendulum near {rig.name}'s file ({reason}); measure the lengths and "
            "counts in it again, give the masses, and try once more"
        ) from error
    return text


def _with_ranges(fit: Fit) -> Rig:
    rig = fit.guess.rig()
    at = {key(unknown): index for index, unknown in enumerate(UNKNOWNS)}

    def around(name: str) -> Range:
        index = at[name]
        value, low, high = fit.guess.values[index], fit.low[index], fit.high[index]
        if value <= 0:
            return (1.0, 1.0)
        # The interval of a friction that hardly shows in the journal reaches below 0.
        least = max(low / value, 0.0)
        return (
            min(least, 1 - LEAST_HALF_RANGE),
            max(high / value, 1 + LEAST_HALF_RANGE),
        )

    ranges = replace(
        rig.randomisation,
        base_mass_factor=around("base.mass_kg"),
        pole_length_factor=around("pole.length_m"),
        viscous_friction_factor=around("base.viscous_friction"),
        coulomb_friction_factor=around("base.coulomb_friction"),
        dead_zone_factor=around("motor.dead_zone_v"),
        supply_factor=around("motor.effort_per_volt"),
        rest_angle_bias_rad=_absolute(fit, at["rest_angle_bias_rad"], 0.005),
        transport_delay_periods=_delay(fit, at["delay_periods"]),
    )
    pole = replace(rig.pole, counts_per_turn=counts_per_turn(fit))
    return replace(rig, pole=pole, randomisation=ranges)


def counts_per_turn(fit: Fit) -> float:
    """Return the counts of a turn of the pole that the journal supports.

    They are the initial rig's unless the fit contradicts them: a number from a data sheet, and the
    ratio of a gear, are exact, and a fit is not. Otherwise they are the nearest whole number within
    the interval, which an encoder without a gear has, and the fit's own if there is none.
    """
    at = next(i for i, u in enumerate(UNKNOWNS) if key(u) == "pole.counts_per_turn")
    said, found = fit.guess.base.pole.counts_per_turn, fit.guess.values[at]
    if abs(found - said) <= MISCOUNT * abs(said) or fit.low[at] <= said <= fit.high[at]:
        return said
    whole = float(round(found))
    return whole if fit.low[at] <= whole <= fit.high[at] else found


def _absolute(fit: Fit, index: int, least: float) -> Range:
    value = fit.guess.values[index]
    return (min(fit.low[index], value - least), max(fit.high[index], value + least))


def _delay(fit: Fit, index: int) -> Range:
    low, high = _absolute(fit, index, LEAST_HALF_RANGE)
    return (max(0.0, low), min(1.0, high))


def _value(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return repr(float(f"{value:.7g}"))
