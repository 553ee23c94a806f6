"""An ODrive v3 as far as its ASCII protocol goes, on a pty, with a simulated rig on its shaft.

Written from the protocol's manual: lines, one answer a question, none to a setting, the watchdog of
each axis. Its clock is given from outside, so that tests need not wait.
"""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from collections.abc import Callable

from sparsectl.plants.motor import CurrentMotor
from sparsectl.plants.plant import Plant
from sparsectl.plants.rig import Rig

IDLE, CLOSED_LOOP = 1, 8
WATCHDOG_TIMER_EXPIRED = 0x800


class SimulatedOdrive:
    """A context manager; `port` is the path of its serial line."""

    def __init__(
        self,
        rig: Rig,
        clock: Callable[[], float] = time.monotonic,
        watchdog_s: float = 0.1,
        late_s: float = 0.0,
    ) -> None:
        """late_s: by how much the watchdog bites later than it says, for tests of something else on
        a machine that may hold every process up for longer than that."""
        assert isinstance(rig.motor, CurrentMotor)
        self.plant = Plant(rig)
        self.plant.reset(0)
        self.plant.hang()
        self.clock, self.watchdog_s, self.late_s = clock, watchdog_s, late_s
        self.full_torque_nm = rig.motor.max_current_a * rig.motor.torque_per_amp
        self.state, self.error, self.torque_nm = IDLE, 0, 0.0
        self.has_watchdog, self.is_mute = watchdog_s > 0, False
        self.heard: list[str] = []
        self._fed_s = self._now_s = clock()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def __enter__(self) -> SimulatedOdrive:
        self._master, slave = os.openpty()
        tty.setraw(self._master)
        tty.setraw(slave)
        self.port, self._slave = os.ttyname(slave), slave
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stopping.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)

    def look(self) -> None:
        """Let the drive's own time pass up to the clock's."""
        with self._lock:
            now_s = self.clock()
            expires_s = self._fed_s + self.watchdog_s + self.late_s
            if self.has_watchdog and self.state == CLOSED_LOOP and now_s > expires_s:
                self._run(max(expires_s, self._now_s))
                self.state, self.error, self.torque_nm = IDLE, WATCHDOG_TIMER_EXPIRED, 0.0
            self._run(now_s)

    def _run(self, until_s: float) -> None:
        duty = self.torque_nm / self.full_torque_nm if self.state == CLOSED_LOOP else 0.0
        self.plant.set_duty(duty)
        self.plant.advance(until_s - self._now_s)
        self._now_s = until_s

    def _serve(self) -> None:
        rest = b""
        while not self._stopping.is_set():
            if select.select([self._master], [], [], 0.02)[0]:
                rest += os.read(self._master, 4096)
            else:
                self.look()  # else the first line after a pause waits for the pendulum to catch up
            while b"\n" in rest:
                line, _, rest = rest.partition(b"\n")
                self.look()
                answer = self._obey(line.decode("ascii").strip())
                if answer is not None and not self.is_mute:
                    os.write(self._master, answer.encode("ascii") + b"\r\n")

    def _obey(self, line: str) -> str | None:
        words = line.split()
        if not words:
            return None
        self.heard.append(line)
        if words[0] == "c" and words[1] == "0":
            self.torque_nm, self._fed_s = float(words[2]), self.clock()
            return None
        if words[0] == "u":
            self._fed_s = self.clock()
            return None
        if words[0] == "sc":
            self.error = 0
            return None
        if words[0] == "w":
            if words[1] == "axis0.requested_state" and not self.error:
                self.state = int(words[2])
            return None
        return self._property(words[1]) if words[0] == "r" else "unknown command"

    def _property(self, name: str) -> str:
        base, pole = self.plant.counts()
        return {
            "axis0.encoder.shadow_count": str(base),
            "axis1.encoder.shadow_count": str(pole),
            "axis0.current_state": str(self.state),
            "axis0.error": str(self.error),
            "axis0.config.enable_watchdog": str(int(self.has_watchdog)),
            "axis0.config.watchdog_timeout": f"{self.watchdog_s:f}",
        }.get(name, "invalid property")
