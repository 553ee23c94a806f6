"""The registry of unknown parameters that a journal determines, and their place in a rig."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.plants.motor import Motor
from sparsectl.plants.plant import Parameters
from sparsectl.plants.rig import Rig


@dataclass(frozen=True)
class Unknown:
    """A parameter to estimate."""

    name: str
    unit: str
    section: str | None
    """The rig's section that contains it under its name; None: it is not a parameter of the rig."""
    scale: float
    """A large change: relative to the rig's value if it has one, otherwise in the unit."""
    lowest: float | None
    meaning: str


UNKNOWNS: Final[tuple[Unknown, ...]] = (
    Unknown("delay_periods", "periods", None, 0.2, 0.0, "from sampling to the motor's new duty"),
    Unknown("rest_angle_bias_rad", "rad", None, 0.02, None, "of the pole's count 0 from hanging"),
    Unknown("mass_kg", "kg", "base", 0.2, None, "of the base, the pole's mass being as given"),
    Unknown("viscous_friction", "N s/m, N m s/rad", "base", 0.5, None, "of the base"),
    Unknown("coulomb_friction", "N, N m", "base", 1.0, 0.0, "of the base"),
    Unknown("unit_per_count", "m, rad", "base", 0.05, None, "quantisation of the base"),
    Unknown("length_m", "m", "pole", 0.1, None, "of the pole, a uniform rod"),
    Unknown("viscous_friction", "N m s/rad", "pole", 1.0, 0.0, "of the pole's hinge"),
    Unknown("coulomb_friction", "N m", "pole", 1.0, 0.0, "of the pole's hinge"),
    Unknown("counts_per_turn", "counts", "pole", 0.01, None, "quantisation of the pole"),
    Unknown("effort_per_volt", "N/V, N m/V", "motor", 0.2, None, "of the motor and its gear"),
    Unknown("dead_zone_v", "V", "motor", 1.0, 0.0, "what the bridge and the motor swallow"),
)
"""A scaling of all masses, efforts and frictions together moves nothing, so the pole's mass stands
as the rig file gives it: weigh the pole. The back-EMF acts as viscous friction; it stands too."""


@dataclass(frozen=True)
class Guess:
    """Values of the unknowns, in the order of `UNKNOWNS`, and the rig that they make."""

    base: Rig
    """The initial rig, which gives everything that is not unknown."""
    values: tuple[float, ...]

    def rig(self) -> Rig:
        """Return the rig with these values."""
        changed: dict[str, dict[str, float]] = {}
        for unknown, value in zip(UNKNOWNS, self.values, strict=True):
            if unknown.section:
                changed.setdefault(unknown.section, {})[unknown.name] = value
        sections: dict[str, Any] = {
            section: replace(getattr(self.base, section), **numbers)
            for section, numbers in changed.items()
        }
        return replace(self.base, **sections)

    @property
    def delay_s(self) -> float:
        """Delay from sampling to the new duty, in s."""
        return self.values[0] * self.base.period_s

    @property
    def rest_angle_bias_rad(self) -> float:
        """Angle from hanging at which the pole's count is 0."""
        return self.values[1]


def key(unknown: Unknown) -> str:
    """Return `section.name`, the name in the result and in the rig file."""
    return f"{unknown.section}.{unknown.name}" if unknown.section else unknown.name


def voltage_motor(rig: Rig) -> Motor:
    """Return the rig's motor, if it is of the kind whose parameters are unknowns.

    Raises:
        UserError: the motor is of another kind.
    """
    if not isinstance(rig.motor, Motor):
        raise UserError(
            f"rig {rig.name} has [motor] kind current, and only voltage motors can be identified; "
            "measure its effort_per_amp with a spring balance"
        )
    return rig.motor


def start(rig: Rig) -> Guess:
    """Return the rig's own values, a delay of a quarter of a period, and no bias.

    Raises:
        UserError: as `voltage_motor`.
    """
    voltage_motor(rig)
    values = [0.25, 0.0]
    values += [getattr(getattr(rig, u.section), u.name) for u in UNKNOWNS if u.section]
    return Guess(rig, tuple(float(value) for value in values))


def scales(rig: Rig) -> tuple[float, ...]:
    """Return a large change of each unknown, in its unit."""
    result = []
    for unknown, value in zip(UNKNOWNS, start(rig).values, strict=True):
        result.append(unknown.scale * abs(value) if unknown.section and value else unknown.scale)
    return tuple(result)


def of_unit(rig: Rig, parameters: Parameters) -> Guess:
    """Return the true values for a simulated unit: `parameters`, expressed by the unknowns.

    The pole's mass is kept at the rig's value, so the unit's masses, efforts and frictions are all
    divided by its factor.
    """
    base, pole, motor, drawn = rig.base, rig.pole, voltage_motor(rig), parameters
    viscous, coulomb = drawn.viscous_friction_factor, drawn.coulomb_friction_factor
    share = 1.0 / drawn.pole_mass_factor
    effort = motor.effort_per_volt * drawn.supply_factor * share
    damping = (base.viscous_friction * viscous + motor.effort_per_volt * motor.back_emf_v) * share
    return Guess(
        rig,
        (
            drawn.transport_delay_periods,
            drawn.rest_angle_bias_rad,
            base.mass_kg * drawn.base_mass_factor * share,
            damping - effort * motor.back_emf_v,
            base.coulomb_friction * coulomb * share,
            base.unit_per_count,
            pole.length_m * drawn.pole_length_factor,
            pole.viscous_friction * viscous * share,
            pole.coulomb_friction * coulomb * share,
            pole.counts_per_turn,
            effort,
            motor.dead_zone_v * drawn.dead_zone_factor / drawn.supply_factor,
        ),
    )
