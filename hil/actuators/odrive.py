"""A brushless motor on an ODrive v3 (firmware 0.5), with torque commands over its ASCII protocol.

Axis 0 drives the base, and its encoder is the base's; the pole's encoder is on the plugs of axis 1,
whose motor stays idle. Lines as the ODrive's manual has them, "ASCII protocol":

    c 0 TORQUE    torque in N m; feeds the watchdog of the axis
    u 0           feeds it without a torque
    r PROPERTY    the answer is a line; w PROPERTY VALUE has none
    sc            clears errors

A drive that is sending an answer drops the next question, so each question waits for its answer.
"""

from __future__ import annotations

import time
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.hil.actuators.actuator import WATCHDOG_MOST_S, Actuator
from sparsectl.hil.actuators.ascii_line import ANSWER_S, START_S, AsciiLine
from sparsectl.plants.motor import CurrentMotor
from sparsectl.plants.rig import Rig

IDLE, CLOSED_LOOP = 1, 8
TORQUE_CONTROL, PASSTHROUGH = 1, 1
COUNTS: Final = ("axis0.encoder.shadow_count", "axis1.encoder.shadow_count")


class Odrive(Actuator):
    """See `Actuator`."""

    def __init__(self, address: str, rig: Rig) -> None:
        """Open `PORT` or `PORT@BAUD`, check that its watchdog guards it, and close its control
        loop.

        Raises:
            UserError: there is no such port, no ODrive, no watchdog, or an error persists.
        """
        self._full_torque_nm = _full_torque_nm(rig)
        silent = "nothing that speaks ODrive's ASCII protocol"
        self._line = AsciiLine("odrive", address, "the ODrive", silent)
        self._fresh_s = rig.period_s / 4
        self._read_s = -1.0
        self._counts = (0, 0)
        self._start_or_close()

    def set_duty(self, duty: float) -> None:
        """Command a torque, which also feeds the watchdog."""
        self._line.send(f"c 0 {duty * self._full_torque_nm:.6f}")

    def counts(self) -> tuple[int, int]:
        """Return both encoders' counts; within one tick they are read once."""
        if time.monotonic() - self._read_s < self._fresh_s:
            return self._counts
        state = self._number("axis0.current_state")
        if state != CLOSED_LOOP:
            raise UserError(
                f"{self._line.name} has stopped by itself: axis0.error is "
                f"{self._line.ask('r axis0.error')}; see `dump_errors(odrv0)` in odrivetool"
            )
        self._counts = int(self._number(COUNTS[0])), int(self._number(COUNTS[1]))
        self._read_s = time.monotonic()
        return self._counts

    def close(self) -> None:
        """Command no torque, then idle; the watchdog stops a drive that cannot be reached."""
        try:
            self._line.send("c 0 0")
            self._line.send(f"w axis0.requested_state {IDLE}")
        except (OSError, UserError):
            pass
        self._line.close()

    def _start(self) -> None:
        self._line.clear()
        guarded = self._number("axis0.config.enable_watchdog")
        timeout_s = self._number("axis0.config.watchdog_timeout")
        if not guarded or not 0 < timeout_s <= WATCHDOG_MOST_S:
            raise UserError(
                f"{self._line.name} would keep driving without the host: its axis0 has "
                f"enable_watchdog {guarded:g}, watchdog_timeout {timeout_s:g} s; in odrivetool set "
                f"odrv0.axis0.config.watchdog_timeout = {WATCHDOG_MOST_S}, enable_watchdog = True, "
                "odrv0.save_configuration()"
            )
        self._line.send("u 0")
        self._line.send("sc")
        self._line.send(f"w axis0.controller.config.control_mode {TORQUE_CONTROL}")
        self._line.send(f"w axis0.controller.config.input_mode {PASSTHROUGH}")
        self._line.send("c 0 0")
        self._line.send(f"w axis0.requested_state {CLOSED_LOOP}")
        deadline_s = time.monotonic() + START_S
        while self._number("axis0.current_state") != CLOSED_LOOP:
            if time.monotonic() > deadline_s:
                raise UserError(
                    f"{self._line.name} does not close its loop: axis0.error is "
                    f"{self._line.ask('r axis0.error')}; calibrate it in odrivetool first"
                )
            self._line.send("u 0")
        self._line.patience_s = ANSWER_S

    def _number(self, name: str) -> float:
        answer = self._line.ask(f"r {name}")
        try:
            return float({"True": "1", "False": "0"}.get(answer, answer))
        except ValueError as error:
            raise UserError(
                f"{self._line.name} answers {answer!r} to `r {name}`; it needs firmware "
                "0.5 and both axes (v3.5, v3.6)"
            ) from error


def _full_torque_nm(rig: Rig) -> float:
    """Return the torque at the motor's shaft for duty 1, in N m."""
    motor = rig.motor
    if not isinstance(motor, CurrentMotor) or motor.torque_per_amp <= 0:
        raise UserError(
            f'rig {rig.name} does not define a torque; an ODrive needs [motor] kind = "current" '
            "and torque_per_amp (8.27 over the motor's KV)"
        )
    return motor.max_current_a * motor.torque_per_amp
