"""A rig: the parameters of one real pendulum, read from its TOML file."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from sparsectl.common.errors import UserError
from sparsectl.plants.gravity import GRAVITY
from sparsectl.plants.motor import MOTORS, CurrentMotor, Motor
from sparsectl.plants.plausible import check_plausible
from sparsectl.plants.pole_pull import pole_pull
from sparsectl.plants.rig_constants import RigConstants, wrong_duties
from sparsectl.plants.rig_file import number, read_table, shown, span, whole_number

RIGS_FOLDER = Path(__file__).parent / "rigs"

Range = tuple[float, float]


@dataclass(frozen=True)
class Base:
    """The driven axis: a cart (m) or an arm (rad); friction is in N or N m accordingly."""

    unit: str
    mass_kg: float
    unit_per_count: float
    """Travel of one encoder count; negative where the encoder counts down as a positive duty drives
    the base."""
    limit: float
    velocity_scale: float
    rate_limit: float
    viscous_friction: float
    coulomb_friction: float
    length_m: float = 0.0
    """Distance from the arm's axis to the pole's hinge, in m; 0 for a cart."""
    limit_switch_at: float = 0.0
    """Distance of the limit switches from the middle, on either side; 0: there are none."""
    rotor_inertia: float = 0.0
    """Inertia of rotor and gears referred to the base, in kg (a cart) or kg m² (an arm)."""


@dataclass(frozen=True)
class Pole:
    """The free axis: a uniform rod on a hinge, maybe with a weight at its tip; angle 0 is upright.

    A pole that is only a rod of `mass_kg` and `length_m` has `tip_mass_kg` 0.
    """

    mass_kg: float
    length_m: float
    counts_per_turn: float
    """Encoder counts of a turn of the pole, which need not be whole behind a gear; negative where
    they shrink as the upright pole leans the way in which a positive duty drives the base."""
    velocity_scale: float
    rate_limit: float
    viscous_friction: float
    coulomb_friction: float
    tip_mass_kg: float = 0.0
    """A point mass at the end of the rod, which is not in `mass_kg`."""

    @property
    def moment_kgm(self) -> float:
        """First moment of rod and tip about the hinge, in kg m."""
        return (self.mass_kg / 2.0 + self.tip_mass_kg) * self.length_m

    @property
    def inertia_kgm2(self) -> float:
        """Moment of inertia of rod and tip about the hinge, in kg m²."""
        return (self.mass_kg / 3.0 + self.tip_mass_kg) * self.length_m**2


@dataclass(frozen=True)
class Start:
    """Half-widths of the uniform start around rest: the pole hangs, the base is in the middle."""

    base: float
    pole_rad: float
    base_velocity: float
    pole_velocity: float


@dataclass(frozen=True)
class Randomisation:
    """Ranges from which each reset draws uniformly; a factor multiplies the nominal value."""

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
    motor: Motor | CurrentMotor
    start: Start
    randomisation: Randomisation

    @property
    def pole_rad_per_count(self) -> float:
        """Radians per count of the pole's encoder; negative if it counts backwards."""
        return 2.0 * math.pi / self.pole.counts_per_turn

    @property
    def is_rotary(self) -> bool:
        """Return whether the base is a rotating arm; otherwise it is a cart on a track."""
        return self.model == ROTARY

    @property
    def lever_m(self) -> float:
        """Travel of the hinge per unit of the base: 1 for a cart, the arm's length for an arm."""
        return self.base.length_m if self.is_rotary else 1.0

    @property
    def moved_inertia(self) -> float:
        """Inertia of the base, its rotor and the pole's mass at the hinge, in kg or kg m^2."""
        base, pole = self.base, self.pole
        own = base.mass_kg * (base.length_m**2 / 3.0 if self.is_rotary else 1.0)
        at_hinge = (pole.mass_kg + pole.tip_mass_kg) * self.lever_m**2
        return own + base.rotor_inertia + at_hinge

    def signals(self) -> dict[str, Any]:
        """Return the observation and action signals as JSON: name, unit, scale, offset, low, high;
        for an action that is an index also the levels that it is one of."""
        base, pole = self.base, self.pole
        observation = [
            _signal("base_position", base.unit, base.limit, base.limit),
            _signal("base_velocity", f"{base.unit}/s", base.velocity_scale, None),
            _signal("pole_angle_sin", "1", 1.0, 1.0),
            _signal("pole_angle_cos", "1", 1.0, 1.0),
            _signal("pole_angular_velocity", "rad/s", pole.velocity_scale, None),
        ]
        duties = self.motor.duties
        duty = _index_signal("motor_duty", duties) if duties else None
        return {
            "observation": observation,
            "action": [duty or _signal("motor_duty", "1", 1.0, self.motor.max_duty)],
            "frames": self.frames,
            "period_s": self.period_s,
            "rig": self.name,
        }

    def firmware_constants(self) -> RigConstants:
        """Return the constants that a board's firmware is built with.

        Raises:
            UserError: a parameter has a value that no firmware can be built with.
        """
        sense, part_of_gravity = _ANSWERS[self.model]
        return RigConstants(
            base_unit_per_count=self.base.unit_per_count,
            pole_rad_per_count=self.pole_rad_per_count,
            base_limit=self.base.limit,
            period_us=round(self.period_s * 1e6),
            max_duty=self.motor.max_duty,
            base_rate_limit=self.base.rate_limit,
            pole_rate_limit=self.pole.rate_limit,
            pole_sense=sense if self.pole.counts_per_turn > 0 else -sense,
            telling_acceleration=part_of_gravity * GRAVITY / self.lever_m,
            limit_switches=1 if self.base.limit_switch_at else 0,
            current_limit_a=self.motor.current_limit_a or math.inf,
            duties=self.motor.duties,
            pole_pull=pole_pull(
                *(self.lever_m, self.moved_inertia, self.pole.moment_kgm, self.pole.inertia_kgm2),
                rotary=self.is_rotary,
            ),
        )


LINEAR, ROTARY = "linear.xml", "rotary.xml"
_UNITS = {LINEAR: "m", ROTARY: "rad"}
_ANSWERS = {LINEAR: (1, 0.25), ROTARY: (-1, 0.4)}
"""How a pole responds to a jerk of its base: the sign of the hanging pole's step, and the
acceleration of its hinge, in g, that neither gravity within 11 degrees of the vertical nor an arm's
rotation can outweigh."""


def rig_names() -> list[str]:
    """Return the names of the rigs that come with the project."""
    return sorted(path.stem for path in RIGS_FOLDER.glob("*.toml"))


def rig_path(name_or_path: str | Path) -> Path:
    """Return the file of a rig that is given by its name or as a TOML file.

    Raises:
        UserError: no such rig.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RIGS_FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(rig_names())
        raise UserError(f"no rig {name_or_path!s}; known: {known}, or give a .toml file")
    return path


def load_rig(name_or_path: str | Path) -> Rig:
    """Read a rig that is given by its name or as a TOML file.

    Raises:
        UserError: no such rig; not TOML; a key is missing, unknown or out of range.
    """
    path = rig_path(name_or_path)
    return parse_rig(read_table(path), path)


def _signal(name: str, unit: str, scale: float, bound: float | None) -> dict[str, Any]:
    low = None if bound is None else -bound
    return {"name": name, "unit": unit, "scale": scale, "offset": 0.0, "low": low, "high": bound}


INDEX = "index"
"""Unit of an action that is the index of a choice, as in `policy.signals`."""


def _index_signal(name: str, levels: tuple[float, ...]) -> dict[str, Any]:
    """Return the signal of an action that is the index of one of these levels."""
    entry = {"name": name, "unit": INDEX, "scale": 1.0, "offset": 0.0}
    return {**entry, "low": 0.0, "high": len(levels) - 1.0, "levels": list(levels)}


Section = TypeVar("Section", Base, Pole, Motor, CurrentMotor, Start, Randomisation)


def parse_rig(table: dict[str, Any], path: Path) -> Rig:
    """Build a rig from the table of its file; a UserError names `path`."""
    known = {field.name for field in fields(Rig)} - {"name"}
    _check_keys(table, known, known, f"{path}")
    rig = Rig(
        name=path.stem,
        title=str(table["title"]),
        model=str(table["model"]),
        period_s=number(table["period_s"], "period_s", path),
        frames=whole_number(table["frames"], "frames", path),
        base=_section(Base, table["base"], "base", path),
        pole=_section(Pole, table["pole"], "pole", path),
        motor=_motor(table["motor"], path),
        start=_section(Start, table["start"], "start", path),
        randomisation=_section(Randomisation, table["randomisation"], "randomisation", path),
    )
    _check_values(rig, path)
    check_plausible(rig, path)
    return rig


def _motor(table: Any, path: Path) -> Motor | CurrentMotor:
    """Return the motor of a section without its `kind`, which determines what the other keys
    are."""
    kind = table.get("kind", "voltage") if isinstance(table, dict) else "voltage"
    if kind not in MOTORS:
        raise UserError(f"{path}: [motor] kind is {kind!r}; known: {', '.join(MOTORS)}")
    rest = table
    if isinstance(table, dict):
        rest = {key: value for key, value in table.items() if key != "kind"}
    if MOTORS[kind] is CurrentMotor:
        return _section(CurrentMotor, rest, "motor", path)
    return _section(Motor, rest, "motor", path)


def _section(kind: type[Section], table: Any, name: str, path: Path) -> Section:
    if not isinstance(table, dict):
        raise UserError(f"{path}: {name} is {shown(table)}; make it a table, [{name}]")
    known = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    _check_keys(table, known, needed, f"{path} [{name}]")
    values: dict[str, Any] = {}
    for key, value in table.items():
        where = f"[{name}] {key}"
        if kind is Randomisation:
            values[key] = span(value, where, path)
        elif key == "duties":
            values[key] = tuple(value) if isinstance(value, list) else value
        else:
            values[key] = value if key == "unit" else number(value, where, path)
    return kind(**values)


def _check_keys(table: dict[str, Any], known: set[str], needed: set[str], where: str) -> None:
    for key in sorted(set(table) - known):
        raise UserError(f"{where}: unknown key {key!r}; known: {', '.join(sorted(known))}")
    for key in sorted(needed - set(table)):
        raise UserError(f"{where}: {key!r} is missing; add it (see the rigs that come with it)")


def _check_values(rig: Rig, path: Path) -> None:
    positive = {
        "period_s": rig.period_s,
        "[base] mass_kg": rig.base.mass_kg,
        "[base] limit": rig.base.limit,
        "[base] velocity_scale": rig.base.velocity_scale,
        "[base] rate_limit": rig.base.rate_limit,
        "[pole] mass_kg": rig.pole.mass_kg,
        "[pole] length_m": rig.pole.length_m,
        "[pole] velocity_scale": rig.pole.velocity_scale,
        "[pole] rate_limit": rig.pole.rate_limit,
        "[motor] supply_v": rig.motor.supply_v,
        **_positive_of(rig.motor),
    }
    for where, value in positive.items():
        if value <= 0:
            raise UserError(f"{path}: {where} is {value!r}; it must be above 0{_hint(where)}")
    at_least_0 = {
        "[base] rotor_inertia": rig.base.rotor_inertia,
        "[pole] tip_mass_kg": rig.pole.tip_mass_kg,
        "[motor] back_emf_v": rig.motor.back_emf_v,
    }
    for where, value in at_least_0.items():
        if value < 0:
            raise UserError(f"{path}: {where} is {value!r}; it must be 0 or more")
    signed = {
        "[base] unit_per_count": rig.base.unit_per_count,
        "[pole] counts_per_turn": rig.pole.counts_per_turn,
    }
    for where, value in signed.items():
        if value == 0:
            raise UserError(
                f"{path}: {where} is 0; give what the encoder counts, negative if it counts "
                "backwards"
            )
    switch_at = rig.base.limit_switch_at
    if switch_at != 0 and switch_at <= rig.base.limit:
        raise UserError(
            f"{path}: [base] limit_switch_at is {switch_at!r}, within the limit of "
            f"{rig.base.limit!r}; the switches stand beyond it, at the ends of the travel"
        )
    if not 1 <= rig.frames <= 64:
        raise UserError(f"{path}: frames is {rig.frames!r}; give 1 to 64")
    if not 0 < rig.motor.max_duty <= 1:
        raise UserError(f"{path}: [motor] max_duty is {rig.motor.max_duty!r}; give 0 to 1")
    if (wrong := wrong_duties(rig.motor.duties, rig.motor.max_duty)) is not None:
        raise UserError(f"{path}: [motor] duties {wrong}")
    _check_model(rig, path)
    high = rig.randomisation.transport_delay_periods[1]
    if not 0 <= high <= 1 or rig.randomisation.transport_delay_periods[0] < 0:
        raise UserError(
            f"{path}: transport_delay_periods reaches {high!r}; keep it within 0 and 1 period"
        )


def _positive_of(motor: Motor | CurrentMotor) -> dict[str, float]:
    if isinstance(motor, Motor):
        return {"[motor] effort_per_volt": motor.effort_per_volt}
    return {
        "[motor] effort_per_amp": motor.effort_per_amp,
        "[motor] max_current_a": motor.max_current_a,
        "[motor] resistance_ohm": motor.resistance_ohm,
    }


def _hint(where: str) -> str:
    if not where.startswith("[motor] effort_per"):
        return ""
    return (
        " (for a motor that turns the other way, give [base] unit_per_count and [pole] "
        "counts_per_turn the other sign)"
    )


def _check_model(rig: Rig, path: Path) -> None:
    """Check what only a cart or only an arm requires."""
    if rig.model not in _UNITS:
        raise UserError(f"{path}: model is {rig.model!r}; known: {', '.join(_UNITS)}")
    unit, length_m = _UNITS[rig.model], rig.base.length_m
    if rig.base.unit != unit:
        raise UserError(
            f"{path}: [base] unit is {rig.base.unit!r}, but the base of {rig.model} moves in "
            f"{unit!r}; give that, and all of [base] in it"
        )
    if rig.is_rotary and length_m <= 0:
        raise UserError(
            f"{path}: [base] length_m is {length_m!r}; a rotary rig needs the length of its arm, "
            "from its axis to the pole's hinge, in m (without it the arm cannot move the pole)"
        )
    if not rig.is_rotary and length_m != 0:
        raise UserError(
            f"{path}: [base] length_m is {length_m!r}, but {rig.model} has no arm; leave it out"
        )
