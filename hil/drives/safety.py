"""The host's safety checks: a person's interrupt, and frames that stop coming.

The board protects itself whatever the host does (it stops the motor if the host falls silent). The
host's part is to end a trial in order after an interrupt, and at once after silence.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from sparsectl.common.errors import EXIT_STOPPED
from sparsectl.hil.drives.presence import Presence
from sparsectl.hil.link.link import Link, LinkLost, Refused

SILENCE_S = 1.0
"""A board that sends nothing for this long is considered lost."""
ESTOP_FRAMES = 3
"""How often an unanswered ESTOP is repeated, since it must pass a damaged line."""


class Interrupted(Exception):
    """A person (SIGINT, SIGQUIT, an e-stop button) or the system (SIGTERM, SIGHUP) asked for the
    end."""

    def __init__(self, name: str, exit_code: int) -> None:
        super().__init__(name)
        self.exit_code = exit_code


class InterruptGuard:
    """Turns SIGINT, SIGQUIT, SIGTERM and SIGHUP into a flag for as long as the context lasts.

    The flag is checked between frames, so that no frame is half sent and no record half written. A
    second signal changes nothing; the shutdown takes a bounded time. A signal that this process was
    started to ignore (`nohup`) stays ignored.
    """

    SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._number = 0
        self._previous: dict[int, object] = {}
        self._buttons: dict[str, Callable[[], bool]] = {}
        self._watches: list[tuple[Callable[[], str | None], int]] = []

    def __enter__(self) -> InterruptGuard:
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous.clear()

    def add_button(self, name: str, is_pressed: Callable[[], bool]) -> None:
        """Also check `is_pressed` between frames; it must not wait."""
        self._buttons[name] = is_pressed

    def add_watch(self, complaint: Callable[[], str | None], exit_code: int) -> None:
        """Also check `complaint` between frames; a complaint ends the trial with that exit code."""
        self._watches.append((complaint, exit_code))

    def check(self) -> None:
        """Raise if a signal has come, a button was pressed or a watch complains.

        Raises:
            Interrupted: one of these happened.
        """
        if self._number:
            raise Interrupted(signal.Signals(self._number).name, 128 + self._number)
        for name, is_pressed in self._buttons.items():
            if is_pressed():
                raise Interrupted(name, EXIT_STOPPED)
        for complaint, exit_code in self._watches:
            if (words := complaint()) is not None:
                raise Interrupted(words, exit_code)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._number = number


class FrameWatchdog:
    """Raises if no frame has come for `SILENCE_S` in which this program was listening."""

    def __init__(self, link: Link, presence: Presence) -> None:
        self._link, self._presence = link, presence
        self._fed_ns = time.monotonic_ns()
        self._fed_bytes = link.received_bytes

    def feed(self) -> None:
        """Record that a frame has come."""
        self._presence.look()
        self._fed_ns = time.monotonic_ns()
        self._fed_bytes = self._link.received_bytes

    def check(self) -> None:
        """Do nothing while frames come. After an absence of this program the board has its time
        anew: what it sent meanwhile is still to be read.

        Raises:
            LinkLost: no frame has come for too long.
        """
        absence = self._presence.look()
        if absence is not None:
            self._fed_ns = time.monotonic_ns()
        silent_s = (time.monotonic_ns() - self._fed_ns) * 1e-9
        if silent_s > SILENCE_S:
            before = self._presence.recent()
            own = f"{before.words}; since then " if before is not None else ""
            noise = self._link.received_bytes - self._fed_bytes
            nothing, check = "nothing", "cable and supply"
            if noise:
                nothing, check = f"{noise} bytes but no frame", "cable, baud rate and firmware"
            raise LinkLost(
                f"{own}the board on {self._link.port} has sent {nothing} for {silent_s:.1f} s; "
                f"check {check}, reset it and retry"
            )


def emergency_stop(link: Link) -> bool:
    """Send ESTOP until it is acknowledged; False when the board can no longer be reached. Nothing
    comes before it, least of all the journal.

    The board latches FAULT(ESTOP) with the motor off. One that cannot be reached stops by itself
    after `link_timeout_ticks`.
    """
    try:
        link.request("ESTOP", timeout_s=0.1, attempts=ESTOP_FRAMES)
    except (LinkLost, Refused):
        return False
    return True


def motor_after_stop(is_acknowledged: bool, link_timeout_ticks: int, period_s: float) -> str:
    """Describe the state of the motor after a stop was sent, in words."""
    if is_acknowledged:
        return "motor off"
    return (
        "the board did not answer the stop; it turns the motor off by itself when it has "
        f"received nothing for {link_timeout_ticks * period_s * 1e3:g} ms"
    )
