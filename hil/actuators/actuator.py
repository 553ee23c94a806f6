"""What the firmware's process needs of a drive or a card: a motor, two encoders, a current."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Protocol

from sparsectl.plants.rig import Rig

WATCHDOG_MOST_S: Final = 0.1
"""Longest that any actuator may go on driving without a word from the firmware's process."""


class Actuator(ABC):
    """An open drive or card, its motor enabled; in the place of a simulated plant.

    Each answer of the firmware's tick is one `set_duty` and one `counts`: when they stop coming,
    the hardware's own watchdog has to take the motor's torque away within `WATCHDOG_MOST_S`.
    A class opens its hardware in its constructor, which ends with `_start_or_close`.
    """

    def advance(self, duration_s: float) -> None:  # noqa: B027  (nothing is simulated here)
        """Time passes by itself here."""

    @abstractmethod
    def set_duty(self, duty: float) -> None:
        """Drive, -1 to 1; 0 is no torque.

        Raises:
            UserError: the hardware has gone, or has stopped by itself.
        """

    @abstractmethod
    def counts(self) -> tuple[int, int]:
        """The encoders of base and pole.

        Raises:
            UserError: as `set_duty`.
        """

    def current_a(self) -> float | None:
        """Current of the motor in A; None where the drive tells none and limits it by itself."""
        return None

    def limit_switch_open(self) -> bool:
        """Whether an end of the travel is reached; where there is no input for it, nothing rules
        that out: True."""
        return True

    @abstractmethod
    def close(self) -> None:
        """Motor off, as far as the hardware can still be reached."""

    @abstractmethod
    def _start(self) -> None:
        """See that the hardware guards its motor, and enable it without torque.

        Raises:
            UserError: it has no watchdog, or does not come up.
        """

    def _start_or_close(self) -> None:
        """`_start`; whatever stops that, the motor is off again."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise


class Opener(Protocol):
    """Opens an actuator and enables its motor without torque."""

    def __call__(self, address: str, rig: Rig) -> Actuator:
        """Open what `address` names, a serial port or a card's number.

        Raises:
            UserError: it is not there, or is not set up so that it is safe to drive.
        """
