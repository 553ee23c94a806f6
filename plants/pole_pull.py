"""How hard a pole can drag its base, which a board must allow for before it blames an encoder.

A cart of mass M with a pole of mass m, first moment S and inertia I about its hinge (leaning by
q, upright 0), driven by the force F, obeys

    (M + m) x'' + S cos q q'' - S sin q q'^2 = F,    I q'' + S cos q x'' = S g sin q.

Without q'' that is

    x'' = (F / (M + m) + pull sin q (q'^2 - fall cos q)) / (1 - coupled cos^2 q)

with pull = S / (M + m), fall = S g / I and coupled = S^2 / (I (M + m)). An arm of length r moves
its hinge by r a', and its inertia takes the place of M: S becomes r S, M + m the inertia with the
pole at the hinge, the pole stands out and adds level sin^2 q to the denominator (level = I over
that inertia), and the arm's own speed a' adds -pull sin q cos^2 q a'^2 - 2 level sin q cos q a' q'.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.plants.gravity import GRAVITY

LEAST_PUSH_G: Final = 0.25
"""The least acceleration of the hinge at the largest duty, in g. To catch a pole from a lean of 24
degrees takes 0.45 (`plants.drawing.LEAST_LEAN_RAD`); the rest allows for dead zone, friction and
supply."""


@dataclass(frozen=True)
class PolePull:
    """The numbers of that equation, in the base's unit, m or rad."""

    push: float
    """Acceleration of the base that the largest duty gives at least, the pole aside."""
    pull: float
    fall: float
    """In 1/s^2."""
    coupled: float
    level: float = 0.0
    """0 for a cart, which no pole makes heavier to turn."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value >= 0.0) or (name == "push" and value == 0.0):
                raise UserError(f"the rig's pole_pull has {name} {value}; give masses and lengths")
        if self.coupled >= 1.0:
            raise UserError(
                f"the rig's pole_pull has coupled {self.coupled}, which no masses give; mend them"
            )


HEAVIEST: Final = PolePull(push=LEAST_PUSH_G * GRAVITY, pull=0.197, fall=16.1, coupled=0.317)
"""The pull that no cart-pole in `ranges/cartpole.toml` exceeds: a pole of 0.6 times the cart's
mass, 0.7 m long, with half of its mass at its tip."""


def pole_pull(
    lever_m: float, base_inertia: float, moment_kgm: float, inertia_kgm2: float, *, rotary: bool
) -> PolePull:
    """Return the pull for a rig, from its masses. For a cart it is at least that of `HEAVIEST`,
    with masses from the middle of the ranges, because a cart may be tried before it is weighed.

    Args:
        lever_m: travel of the hinge per unit of the base.
        base_inertia: of base and rotor with the pole's mass at the hinge, kg or kg m^2.
        moment_kgm: first moment of the pole about its hinge.
        inertia_kgm2: its moment of inertia about it.
        rotary: whether the base is an arm.
    """
    moment = moment_kgm * lever_m
    pull = moment / base_inertia
    fall = moment_kgm * GRAVITY / inertia_kgm2
    coupled = moment**2 / (inertia_kgm2 * base_inertia)
    push = LEAST_PUSH_G * GRAVITY / lever_m
    if rotary:
        return PolePull(push, pull, fall, coupled, level=inertia_kgm2 / base_inertia)
    most = HEAVIEST
    return PolePull(push, max(pull, most.pull), max(fall, most.fall), max(coupled, most.coupled))
