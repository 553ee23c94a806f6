"""The virtual rig with its wires swapped or unplugged, to try the wiring check without hardware."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final, Protocol

from sparsectl.common.errors import UserError

SIGNS: Final = {"right": 1, "reversed": -1, "unplugged": 0}
HELD: Final = "held"
"""A motor driver whose PWM input is held high: it drives fully while it is enabled."""


@dataclass(frozen=True)
class Wiring:
    """How motor and encoders are connected; each is one of `SIGNS`, and the motor may be `HELD`."""

    motor: str = "right"
    base: str = "right"
    pole: str = "right"

    @classmethod
    def parse(cls, text: str) -> Wiring:
        """Parse base=reversed,pole=unplugged; what is not named is right.

        Raises:
            UserError: the text is not such a list.
        """
        given = {}
        known = [field.name for field in fields(cls)]
        for word in filter(None, text.split(",")):
            name, _, how = word.partition("=")
            ways = (*SIGNS, HELD) if name == "motor" else SIGNS
            if name not in known or how not in ways or name in given:
                raise UserError(
                    f"--wiring is {text!r}; give {', '.join(known)}, each once, as "
                    f"{', '.join(SIGNS)}, the motor as {HELD} too: base=reversed,motor=held"
                )
            given[name] = how
        return cls(**given)

    def __str__(self) -> str:
        return ",".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))


class Pendulum(Protocol):
    """The interface of the plant behind the wires."""

    def advance(self, duration_s: float) -> None: ...

    def set_duty(self, duty: float) -> None: ...

    def counts(self) -> tuple[int, int]: ...

    def current_a(self) -> float | None: ...

    def limit_switch_open(self) -> bool: ...


class MiswiredPlant:
    """A plant behind such wires; an unplugged encoder counts nothing."""

    def __init__(self, plant: Pendulum, wiring: Wiring) -> None:
        self._plant = plant
        self._is_held = wiring.motor == HELD
        self._motor = 1 if self._is_held else SIGNS[wiring.motor]
        self._base, self._pole = SIGNS[wiring.base], SIGNS[wiring.pole]

    def advance(self, duration_s: float) -> None:
        """Let time pass."""
        self._plant.advance(duration_s)

    def set_duty(self, duty: float) -> None:
        """Set the duty that reaches the motor when the board sets `duty`."""
        if self._is_held and duty:
            duty = math.copysign(1.0, duty)
        self._plant.set_duty(self._motor * duty)

    def counts(self) -> tuple[int, int]:
        """Return the encoders' counts as they reach the board."""
        base, pole = self._plant.counts()
        return self._base * base, self._pole * pole

    def limit_switch_open(self) -> bool:
        """Return whether the limit switches' loop is open."""
        return self._plant.limit_switch_open()

    def current_a(self) -> float | None:
        """Return the motor's current, as the board sees it."""
        current_a = self._plant.current_a()
        return None if current_a is None else self._motor * current_a
