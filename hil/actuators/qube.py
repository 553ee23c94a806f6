"""Quanser's QUBE-Servo 2 over its own USB card, with the C functions of Quanser's HIL SDK.

The SDK (libhil) comes from Quanser and is looked for when a trial asks for it; nothing of it is
needed to install or test this program. Channels of the card `qube_servo2_usb`, from its manual:
encoder 0 is the arm's, encoder 1 the pendulum's, 512 lines of four counts; analog output 0 is the
motor's voltage; digital output 0 enables its amplifier; analog input 0 is its current in A. The
card's watchdog turns both outputs off.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import math
import time
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.hil.actuators.actuator import WATCHDOG_MOST_S, Actuator
from sparsectl.plants.motor import Motor
from sparsectl.plants.rig import Rig

CARD: Final = b"qube_servo2_usb"
LIBRARIES: Final = ("hil", "hil_sdk")
LOW: Final = 0
"""DIGITAL_STATE_LOW of hil.h."""


class Qube(Actuator):
    """See `Actuator`."""

    def __init__(self, address: str, rig: Rig) -> None:
        """Open the card with this number, 0 for the only one, and enable its amplifier at 0 V.

        Raises:
            UserError: no SDK, no card, or a rig whose motor is not driven by a voltage.
        """
        if not isinstance(rig.motor, Motor):
            raise UserError(f"rig {rig.name} has a current motor; the QUBE's card gives volts")
        self._supply_v = rig.motor.supply_v
        self._patience_s, self._read_s = rig.period_s / 4, -1.0
        self._hil = _library()
        self._card = ctypes.c_void_p()
        self._seen = (0, 0)
        self._call("hil_open", CARD, address.encode("ascii"), ctypes.byref(self._card), opened=True)
        self._start_or_close()

    def set_duty(self, duty: float) -> None:
        """Set the motor's voltage; this feeds the card's watchdog."""
        volts = duty * self._supply_v if math.isfinite(duty) else 0.0
        if self._call("hil_watchdog_reload") == 0:  # 1: reloaded in time
            raise UserError("the QUBE's watchdog has turned its motor off; start again")
        self._call("hil_write_analog", *_channels(0), (ctypes.c_double * 1)(volts))

    def counts(self) -> tuple[int, int]:
        """Return the counts of arm and pendulum; within one tick they are read once."""
        if time.monotonic() - self._read_s >= self._patience_s:
            counts = (ctypes.c_int32 * 2)()
            self._call("hil_read_encoder", *_channels(0, 1), counts)
            self._seen, self._read_s = (counts[0], counts[1]), time.monotonic()
        return self._seen

    def current_a(self) -> float | None:
        """Return the current that the card measures, in A."""
        current = (ctypes.c_double * 1)()
        self._call("hil_read_analog", *_channels(0), current)
        return float(current[0])

    def close(self) -> None:
        """Set 0 V, turn the amplifier off and close the card."""
        if not self._card:
            return
        for name, value in (
            ("hil_write_analog", (ctypes.c_double * 1)(0.0)),
            ("hil_write_digital", (ctypes.c_int8 * 1)(0)),
        ):
            getattr(self._hil, name)(self._card, *_channels(0), value)
        self._hil.hil_watchdog_stop(self._card)
        self._hil.hil_close(self._card)
        self._card = ctypes.c_void_p()

    def _start(self) -> None:
        zero, low = (ctypes.c_double * 1)(0.0), (ctypes.c_int * 1)(LOW)
        self._hil.hil_watchdog_clear(self._card)  # complains where none has expired
        self._call("hil_write_analog", *_channels(0), zero)
        self._call("hil_set_encoder_counts", *_channels(0, 1), (ctypes.c_int32 * 2)(0, 0))
        self._call("hil_watchdog_set_analog_expiration_state", *_channels(0), zero)
        self._call("hil_watchdog_set_digital_expiration_state", *_channels(0), low)
        self._call("hil_watchdog_start", ctypes.c_double(WATCHDOG_MOST_S))
        self._call("hil_write_digital", *_channels(0), (ctypes.c_int8 * 1)(1))

    def _call(self, name: str, *arguments: Any, opened: bool = False) -> int:
        """Call a function of the SDK; a result below 0 is a failure."""
        first = () if opened else (self._card,)
        result = int(getattr(self._hil, name)(*first, *arguments))
        if result < 0:
            raise UserError(
                f"{name} of Quanser's HIL SDK failed with {result}; check the QUBE's USB cable and "
                "supply, and that no other program holds it"
            )
        return result


def _channels(*numbers: int) -> tuple[Any, Any]:
    """Return `channels[], num_channels` for the SDK's functions."""
    return (ctypes.c_uint32 * len(numbers))(*numbers), ctypes.c_uint32(len(numbers))


def _library() -> Any:
    """Load the SDK's library.

    Raises:
        UserError: it is not installed.
    """
    for name in LIBRARIES:
        for path in filter(None, (ctypes.util.find_library(name), f"lib{name}.so")):
            try:
                return ctypes.CDLL(path)
            except OSError:
                continue
    raise UserError(
        "Quanser's HIL SDK is not installed (no libhil); get it from Quanser, "
        "github.com/quanser/hil_sdk_linux_x86_64"
    )
