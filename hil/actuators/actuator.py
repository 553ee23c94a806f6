"""The interface of a drive or a card for the firmware's process: a motor, two encoders, a
current."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Protocol

from sparsectl.plants.rig import Rig

WATCHDOG_MOST_S: Final = 0.1
"""The longest time that an actuator may keep driving without a command from the firmware's process,
in s."""


class Actuator(ABC):
    """An open drive or card with its motor enabled, in place of a simulated plant.

    Each tick of the firmware makes one `set_duty` and one `counts`: when these calls stop, the
    hardware's own watchdog must remove the motor's torque within `WATCHDOG_MOST_S`. A class opens
    its hardware in its constructor, which ends with `_start_or_close`.
    """

    def advance(self, duration_s: float) -> None:  # noqa: B027  (nothing is simulated here)
        """Do nothing: real time passes by itself."""

    @abstractmethod
    def set_duty(self, duty: float) -> None:
        """Set the duty, -1 to 1; 0 is no torque.

        Raises:
            UserError: the hardware is gone, or has stopped by itself.
        """

    @abstractmethod
    def counts(self) -> tuple[int, int]:
        """Return the counts of the encoders of base and pole.

        Raises:
            UserError: as `set_duty`.
        """

    def current_a(self) -> float | None:
        """Return the motor's current in A; None: the drive does not report it and limits it by
        itself."""
        return None

    def limit_switch_open(self) -> bool:
        """Return whether an end of the travel is reached; True if there is no input for it, since
        it cannot be ruled out."""
        return True

    @abstractmethod
    def close(self) -> None:
        """Turn the motor off, as far as the hardware can still be reached."""

    @abstractmethod
    def _start(self) -> None:
        """Check that the hardware guards its motor, and enable it without torque.

        Raises:
            UserError: it has no watchdog, or does not start.
        """

    def _start_or_close(self) -> None:
        """Call `_start`; if anything interrupts it, turn the motor off."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise


class Opener(Protocol):
    """Opens an actuator and enables its motor without torque."""

    def __call__(self, address: str, rig: Rig) -> Actuator:
        """Open the device that `address` names, a serial port or a card's number.

        Raises:
            UserError: the device is not there, or its settings make it unsafe to drive.
        """
