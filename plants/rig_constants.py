"""The constants of a rig that a board's firmware is built with."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.common.float32 import float32
from sparsectl.plants.pole_pull import HEAVIEST, PolePull

MOST_DUTIES: Final = 64
"""The most duties that a policy may choose among; more are as good as a continuous action."""

_UNLIMITED: Final = ("current_limit_a", "telling_acceleration")
_SIGNED: Final = ("base_unit_per_count", "pole_rad_per_count")
_OFTEN_ABSENT: Final = {
    "current_limit_a": math.inf,
    "limit_switches": 0,
    "duties": (),
    "pole_pull": asdict(HEAVIEST),
}


@dataclass(frozen=True)
class RigConstants:
    """The constants of one rig, from its parameter file; positions in the base's unit, m or rad."""

    base_unit_per_count: float
    """Base travel of one encoder count, in m or rad; negative where it counts down as a positive
    duty drives the base."""
    pole_rad_per_count: float
    """Turn of the pole of one encoder count, in rad; negative where it counts backwards."""
    base_limit: float
    """Travel from home at which the board faults."""
    period_us: int
    """Nominal control period, in us."""
    max_duty: float
    """Clamp of the motor's duty, 0 to 1."""
    base_rate_limit: float
    """Speed of the base at which the board faults, in m/s or rad/s."""
    pole_rate_limit: float
    """Speed of the pole at which the board faults, in rad/s."""
    pole_sense: int = 1
    """1: the hanging pole's count grows when the base jerks forward; -1: it shrinks."""
    telling_acceleration: float = math.inf
    """Acceleration of the base, in m/s^2 or rad/s^2, that gravity cannot hide at a pole near the
    vertical; infinite: a reversed pole encoder is not looked for."""
    limit_switches: int = 0
    """1: the board requires the loop of its limit switches to be closed."""
    current_limit_a: float = math.inf
    """Current of the motor at which the board faults, in A; infinite: never."""
    duties: tuple[float, ...] = ()
    """Duties of which a policy's action is the index; none: its action is the duty itself."""
    pole_pull: PolePull = HEAVIEST
    """How hard the pole can drag the base, which the board must not take for a reversed encoder."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "duties", tuple(self.duties))  # a list, where it comes from JSON
        if (wrong := wrong_duties(self.duties, self.max_duty)) is not None:
            raise UserError(f"the rig's duties {wrong}")
        for field in fields(self):
            if field.name in ("duties", "pole_pull"):
                continue
            value = getattr(self, field.name)
            unlimited = field.name in _UNLIMITED and value == math.inf
            sense = field.name == "pole_sense" and value in (-1, 1)
            sense |= field.name == "limit_switches" and value in (0, 1)
            signed = field.name in _SIGNED and math.isfinite(value) and value != 0
            if not (unlimited or sense or signed or (math.isfinite(value) and value > 0)):
                wanted = "not 0" if field.name in _SIGNED else "above 0"
                raise UserError(f"the rig's {field.name} is {value}; it must be a number {wanted}")
        if not 500 <= self.period_us <= 1_000_000 or self.period_us != int(self.period_us):
            raise UserError(f"the rig's period_us is {self.period_us}; give 500 to 1000000, whole")
        if self.max_duty > 1.0:
            raise UserError(f"the rig's max_duty is {self.max_duty}; it is at most 1")
        if max(self.base_limit, self.base_rate_limit) / self.base_unit >= 2**24:
            raise UserError(
                f"the rig's base_unit_per_count is {self.base_unit_per_count}; "
                "its limits are over 2^24 counts; fix the unit"
            )
        if self.pole_rad > math.pi:
            raise UserError(
                f"the rig's pole_rad_per_count is {self.pole_rad_per_count}; at most half a turn"
            )

    @property
    def base_unit(self) -> float:
        """Base travel of one encoder count, without its sign."""
        return abs(self.base_unit_per_count)

    @property
    def pole_rad(self) -> float:
        """Rotation of the pole of one encoder count, in rad, without its sign."""
        return abs(self.pole_rad_per_count)

    def to_json(self) -> dict[str, Any]:
        """Return JSON for a journal's header, without optional parts that this rig does not
        have."""
        known = asdict(self)
        return {name: value for name, value in known.items() if _OFTEN_ABSENT.get(name) != value}


def wrong_duties(duties: Any, max_duty: float) -> str | None:
    """Explain what is wrong with the duties that a policy may choose among; None if nothing is."""
    if not isinstance(duties, list | tuple):
        return f"are {duties!r}; give a list such as [-0.6, 0.0, 0.6]"
    for duty in duties:
        if isinstance(duty, bool) or not isinstance(duty, int | float) or not abs(duty) < math.inf:
            return f"hold {duty!r}; give finite numbers"
        if abs(duty) > max_duty:
            return f"hold {duty!r}, beyond max_duty, {max_duty!r}, which a board clips to; mend one"
    if duties and not 2 <= len(duties) <= MOST_DUTIES:
        return f"are {len(duties)}; give 2 to {MOST_DUTIES}"
    if len({float32(duty) for duty in duties}) != len(duties):
        return f"are {list(duties)!r}, of which two are the same; give each once"
    return None
