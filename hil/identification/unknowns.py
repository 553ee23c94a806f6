"""What a journal can tell of a rig: the registry of unknowns, and how each stands in a rig."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.plants.motor import Motor
from sparsectl.plants.plant import Parameters
from sparsectl.plants.rig import Rig


@dataclass(frozen=True)
class Unknown:
    """A parameter to be found."""

    name: str
    unit: str
    section: str | None
    """The rig's section that holds it under its name; None for what is not a rig's number."""
    scale: float
    """What counts as a large change: of the rig's value where it has one, else in the unit."""
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
    """A value of each unknown, in the order of `UNKNOWNS`, and the rig that they make."""

    base: Rig
    """The rig that was started from; it gives what is not unknown."""
    values: tuple[float, ...]

    def rig(self) -> Rig:
        """The rig with these values."""
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
        """From sampling to the new duty."""
        return self.values[0] * self.base.period_s

    @property
    def rest_angle_bias_rad(self) -> float:
        """Angle from hanging at which the pole's count is 0."""
        return self.values[1]


def key(unknown: Unknown) -> str:
    """`section.name`, as the result and the rig file call it."""
    return f"{unknown.section}.{unknown.name}" if unknown.section else unknown.name


def voltage_motor(rig: Rig) -> Motor:
    """The rig's motor, of the kind whose numbers are unknowns.

    Raises:
        UserError: it is of another kind.
    """
    if not isinstance(rig.motor, Motor):
        raise UserError(
            f"rig {rig.name} has [motor] kind current, and only voltage motors can be identified; "
            "measure its effort_per_amp with a spring balance"
        )
    return rig.motor


def start(rig: Rig) -> Guess:
    """The rig's own values, a delay of a quarter of a period, no bias.

    Raises:
        UserError: as `voltage_motor`.
    """
    voltage_motor(rig)
    values = [0.25, 0.0]
    values += [getattr(getattr(rig, u.section), u.name) for u in UNKNOWNS if u.section]
    return Guess(rig, tuple(float(value) for value in values))


def scales(rig: Rig) -> tuple[float, ...]:
    """A large change of each unknown, in its unit."""
    result = []
    for unknown, value in zip(UNKNOWNS, start(rig).values, strict=True):
        result.append(unknown.scale * abs(value) if unknown.section and value else unknown.scale)
    return tuple(result)


def of_unit(rig: Rig, parameters: Parameters) -> Guess:
    """What should be found of a simulated unit: `parameters` drawn, in terms of the unknowns.

    The pole's mass stands at the rig's own, so a unit's masses, efforts and frictions are all
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
