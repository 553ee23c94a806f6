"""A brushless motor with SimpleFOC, with current commands to its Commander over a serial line.

Commander has no watchdog and reports one motor's angle, so the sketch in docs/first-motion.md adds
two commands, as SimpleFOC's manual describes under "Extending commander":

    W       the answer is `watchdog MS`: after so long without a P the motor is disabled
    PAMPS   a target, which feeds that watchdog; the answer is `counts BASE POLE ENABLED`

The motor is set up by the commands that `commander.motor()` takes ("Full motor configuration using
the Commander"): MC0 torque control, MT2 by the measured current, ME1 and ME0 to enable and disable.
"""

from __future__ import annotations

import time
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.hil.actuators.actuator import WATCHDOG_MOST_S, Actuator
from sparsectl.hil.actuators.ascii_line import ANSWER_S, START_S, AsciiLine
from sparsectl.plants.motor import CurrentMotor
from sparsectl.plants.rig import Rig

SETTINGS: Final = ("@0", "MC0", "MT2")
"""Settings: no verbose output; torque control; by the measured current."""
PAGE: Final = "docs/first-motion.md has the sketch that it needs"


class SimpleFoc(Actuator):
    """See `Actuator`."""

    def __init__(self, address: str, rig: Rig) -> None:
        """Open `PORT` or `PORT@BAUD`, check that the sketch guards the motor, and enable it.

        Raises:
            UserError: there is no such port, another sketch, no watchdog, or the motor stays off.
        """
        if not isinstance(rig.motor, CurrentMotor):
            raise UserError(
                f"rig {rig.name} does not define a current; SimpleFOC needs [motor] kind = "
                '"current"'
            )
        self._most_a = rig.motor.max_current_a
        self._counts = (0, 0)
        self._line = AsciiLine("simplefoc", address, "SimpleFOC", "no SimpleFOC with this sketch")
        self._start_or_close()

    def set_duty(self, duty: float) -> None:
        """Command a current, which feeds the watchdog; the answer contains the counts."""
        if not self._target(duty * self._most_a):
            raise UserError(
                f"{self._line.name} has disabled its motor: its watchdog, or its driver's fault; "
                "look at the drive, then retry"
            )

    def counts(self) -> tuple[int, int]:
        """Return both encoders' counts from the last `set_duty`, which each request of the firmware
        makes."""
        return self._counts

    def close(self) -> None:
        """Command no current, then turn the motor off; the watchdog stops a drive that cannot be
        reached."""
        try:
            self._line.send("P0")
            self._line.send("ME0")
        except (OSError, UserError):
            pass
        self._line.close()

    def _start(self) -> None:
        line = self._line
        line.clear()
        (timeout_ms,) = self._numbers(line.ask("W", "watchdog "), 1)
        if not 0 < timeout_ms <= 1000 * WATCHDOG_MOST_S:
            raise UserError(
                f"{line.name} would keep driving without the host: its watchdog waits "
                f"{timeout_ms:g} ms; give it {1000 * WATCHDOG_MOST_S:g}. {PAGE}"
            )
        for setting in SETTINGS:
            line.send(setting)
        deadline_s = time.monotonic() + START_S
        line.send("ME1")
        while not self._target(0.0):
            if time.monotonic() > deadline_s:
                raise UserError(
                    f"{line.name} does not enable its motor; see what initFOC() prints at its start"
                )
            line.send("ME1")
        line.patience_s = ANSWER_S

    def _target(self, current_a: float) -> bool:
        """Command a current; return whether the motor is enabled."""
        reply = self._numbers(self._line.ask(f"P{current_a:.4f}", "counts "), 3)
        self._counts = int(reply[0]), int(reply[1])
        return reply[2] == 1

    def _numbers(self, answer: str, count: int) -> list[float]:
        words = answer.split()[1:]
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) != count:
            raise UserError(f"{self._line.name} answers {answer!r}; {PAGE}")
        return numbers
