"""The e-stop key: space or enter in the terminal of a running trial stops the motor."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from sparsectl.hil.drives.terminal import say

KEYS: Final = b" \r\n"
HINT: Final = "space or enter stops the motor"


class EstopKey:
    """Reads single keys from the terminal while the context lasts.

    If standard input is not a terminal, or this process runs in the background, there is no key;
    signals are left as they are.
    """

    def __init__(self) -> None:
        self._terminal: int | None = None
        self._settings: list[Any] = []

    def __enter__(self) -> EstopKey:
        descriptor = _foreground_terminal()
        if descriptor is not None:
            self._settings = termios.tcgetattr(descriptor)
            tty.setcbreak(descriptor)  # keys at once, unechoed; Ctrl-C stays a signal
            self._terminal = descriptor
            say(HINT)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._terminal is not None:
            with suppress(termios.error):  # the terminal has gone
                termios.tcsetattr(self._terminal, termios.TCSANOW, self._settings)
            self._terminal = None

    def is_pressed(self) -> bool:
        """Return whether the key has been pressed, without waiting."""
        if self._terminal is None or not select.select([self._terminal], [], [], 0)[0]:
            return False
        try:
            return any(byte in KEYS for byte in os.read(self._terminal, 1024))
        except OSError:  # the terminal has gone; SIGHUP says so
            return False


def _foreground_terminal() -> int | None:
    try:
        descriptor = sys.stdin.fileno()
        if os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp():
            return descriptor
    except (OSError, ValueError, AttributeError):  # closed, captured, or there is none
        pass
    return None
