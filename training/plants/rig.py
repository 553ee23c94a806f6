"""A rig: the numbers of one real pendulum, read from its TOML file."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from common.errors import UserError

RIGS_FOLDER = Path(__file__).parent / "rigs"

Range = tuple[float, float]

GRAVITY = 9.81


@dataclass(frozen=True)
class Base:
    """The driven axis: a cart (metres) or an arm (radians); N or N m where it says friction."""

    unit: str
    mass_kg: float
    unit_per_count: float
    limit: float
    velocity_scale: float
    rate_limit: float
    viscous_friction: float
    coulomb_friction: float
    length_m: float = 0.0
    """Length of the arm; 0 for a cart."""


@dataclass(frozen=True)
class Pole:
    """The free axis, a uniform rod on a hinge; angle 0 is upright."""

    mass_kg: float
    length_m: float
    counts_per_turn: int
    velocity_scale: float
    rate_limit: float
    viscous_friction: float
    coulomb_friction: float


@dataclass(frozen=True)
class Motor:
    """A DC motor behind an H-bridge: effort (N or N m) = effort_per_volt * (volts - back EMF)."""

    supply_v: float
    effort_per_volt: float
    back_emf_v: float
    dead_zone_v: float
    max_duty: float
    stall_current_a: float = 0.0
    """Current at standstill and full duty; 0: not known, none is simulated."""
    current_limit_a: float = 0.0
    """Current at which a board that can measure it faults; 0: never."""


@dataclass(frozen=True)
class Start:
    """Half-widths of the uniform start around rest: the pole hangs, the base is in the middle."""

    base: float
    pole_rad: float
    base_velocity: float
    pole_velocity: float


@dataclass(frozen=True)
class Randomisation:
    """Ranges drawn uniformly at each reset; a factor multiplies the rig's own value."""

    base_mass_factor: Range
    pole_mass_factor: Range
    pole_length_factor: Range
    viscous_friction_factor: Range
    coulomb_friction_factor: Range
    supply_factor: Range
    dead_zone_factor: Range
    rest_angle_bias_rad: Range
    transport_delay_periods: Range
    period_jitter: Range


@dataclass(frozen=True)
class Rig:
    """One pendulum rig. `name` is the stem of its file."""

    name: str
    title: str
    model: str
    period_s: float
    frames: int
    base: Base
    pole: Pole
    motor: Motor
    start: Start
    randomisation: Randomisation

    @property
    def pole_rad_per_count(self) -> float:
        """Radians a count of the pole's encoder."""
        return 2.0 * math.pi / self.pole.counts_per_turn

    def signals(self) -> dict[str, Any]:
        """The observation and action signals as JSON: name, unit, scale, offset, low, high."""
        base, pole = self.base, self.pole
        observation = [
            _signal("base_position", base.unit, base.limit, base.limit),
            _signal("base_velocity", f"{base.unit}/s", base.velocity_scale, None),
            _signal("pole_angle_sin", "1", 1.0, 1.0),
            _signal("pole_angle_cos", "1", 1.0, 1.0),
            _signal("pole_angular_velocity", "rad/s", pole.velocity_scale, None),
        ]
        return {
            "observation": observation,
            "action": [_signal("motor_duty", "1", 1.0, self.motor.max_duty)],
            "frames": self.frames,
            "period_s": self.period_s,
            "rig": self.name,
        }

    def firmware_constants(self) -> dict[str, Any]:
        """What a board must know of the rig; see `firmware_host.build.RigConstants`."""
        sense, part_of_gravity = _ANSWERS.get(self.model, (1, math.inf))
        constants = {
            "base_unit_per_count": self.base.unit_per_count,
            "pole_rad_per_count": self.pole_rad_per_count,
            "base_limit": self.base.limit,
            "period_us": round(self.period_s * 1e6),
            "max_duty": self.motor.max_duty,
            "base_rate_limit": self.base.rate_limit,
            "pole_rate_limit": self.pole.rate_limit,
            "pole_sense": sense,
        }
        if math.isfinite(part_of_gravity):
            lever = self.base.length_m or 1.0
            constants["telling_acceleration"] = part_of_gravity * GRAVITY / lever
        if self.motor.current_limit_a:
            constants["current_limit_a"] = self.motor.current_limit_a
        return constants


_OPTIONAL: dict[type, set[str]] = {
    Base: {"length_m"},
    Motor: {"stall_current_a", "current_limit_a"},
}
_ANSWERS = {"linear.xml": (1, 0.25), "rotary.xml": (-1, 0.4)}
"""How a pole answers a jerk of its base: the sign of the hanging pole's step, and the acceleration
at its hinge, in g, that neither gravity within 11 degrees of the vertical nor an arm's rotation can
outweigh."""


def rig_names() -> list[str]:
    """Names of the rigs that come with the project."""
    return sorted(path.stem for path in RIGS_FOLDER.glob("*.toml"))


def load_rig(name_or_path: str | Path) -> Rig:
    """Read a rig by its name, or from one's own TOML file.

    Raises:
        UserError: no such rig, not TOML, a key missing, unknown or out of its range.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RIGS_FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(rig_names())
        raise UserError(f"no rig {name_or_path!s}; known: {known}, or give a .toml file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a rig file: {error}; mend that line") from error
    return _parse(table, path)


def _signal(name: str, unit: str, scale: float, bound: float | None) -> dict[str, Any]:
    low = None if bound is None else -bound
    return {"name": name, "unit": unit, "scale": scale, "offset": 0.0, "low": low, "high": bound}


Section = TypeVar("Section", Base, Pole, Motor, Start, Randomisation)


def _parse(table: dict[str, Any], path: Path) -> Rig:
    top = {"title", "model", "period_s", "frames"}
    sections = {"base", "pole", "motor", "start", "randomisation"}
    _check_keys(table, top | sections, top | sections, f"{path}")
    rig = Rig(
        name=path.stem,
        title=str(table["title"]),
        model=str(table["model"]),
        period_s=_number(table["period_s"], "period_s", path),
        frames=int(_number(table["frames"], "frames", path)),
        base=_section(Base, table["base"], "base", path),
        pole=_section(Pole, table["pole"], "pole", path),
        motor=_section(Motor, table["motor"], "motor", path),
        start=_section(Start, table["start"], "start", path),
        randomisation=_section(Randomisation, table["randomisation"], "randomisation", path),
    )
    _check_values(rig, path)
    return rig


def _section(kind: type[Section], table: Any, name: str, path: Path) -> Section:
    if not isinstance(table, dict):
        raise UserError(f"{path}: {name} is {table!r}; make it a table, [{name}]")
    known = {field.name for field in fields(kind)}
    needed = known - _OPTIONAL.get(kind, set())
    _check_keys(table, known, needed, f"{path} [{name}]")
    values: dict[str, Any] = {}
    for key, value in table.items():
        where = f"[{name}] {key}"
        if kind is Randomisation:
            values[key] = _range(value, where, path)
        else:
            values[key] = value if key == "unit" else _number(value, where, path)
    return kind(**values)


def _check_keys(table: dict[str, Any], known: set[str], needed: set[str], where: str) -> None:
    for key in sorted(set(table) - known):
        raise UserError(f"{where}: unknown key {key!r}; known: {', '.join(sorted(known))}")
    for key in sorted(needed - set(table)):
        raise UserError(f"{where}: {key!r} is missing; add it (see the rigs that come with it)")


def _number(value: Any, where: str, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{path}: {where} is {value!r}; give a finite number")
    return value


def _range(value: Any, where: str, path: Path) -> Range:
    if not isinstance(value, list) or len(value) != 2:
        raise UserError(f"{path}: {where} is {value!r}; give [low, high]")
    low, high = (float(_number(item, where, path)) for item in value)
    if low > high:
        raise UserError(f"{path}: {where} is {value!r}; the first must not exceed the second")
    return low, high


def _check_values(rig: Rig, path: Path) -> None:
    positive = {
        "period_s": rig.period_s,
        "[base] mass_kg": rig.base.mass_kg,
        "[base] limit": rig.base.limit,
        "[base] unit_per_count": abs(rig.base.unit_per_count),
        "[pole] mass_kg": rig.pole.mass_kg,
        "[pole] length_m": rig.pole.length_m,
        "[pole] counts_per_turn": abs(rig.pole.counts_per_turn),
        "[motor] supply_v": rig.motor.supply_v,
        "[motor] effort_per_volt": abs(rig.motor.effort_per_volt),
    }
    for where, value in positive.items():
        if value <= 0:
            raise UserError(f"{path}: {where} is {value!r}; it must be above 0")
    if not 1 <= rig.frames <= 64:
        raise UserError(f"{path}: frames is {rig.frames!r}; give 1 to 64")
    if not 0 < rig.motor.max_duty <= 1:
        raise UserError(f"{path}: [motor] max_duty is {rig.motor.max_duty!r}; give 0 to 1")
    if not (Path(__file__).parent / "models" / rig.model).is_file():
        raise UserError(f"{path}: model is {rig.model!r}; known: linear.xml, rotary.xml")
    high = rig.randomisation.transport_delay_periods[1]
    if not 0 <= high <= 1 or rig.randomisation.transport_delay_periods[0] < 0:
        raise UserError(
            f"{path}: transport_delay_periods reaches {high!r}; keep it within 0 and 1 period"
        )
