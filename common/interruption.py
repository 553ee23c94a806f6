"""SIGTERM and SIGHUP end a command as Ctrl-C does: by an exception, so that nothing half made
stays behind. Which of them came is remembered, since the exception may be lost: a compiler that the
same Ctrl-C ends seems to fail, and a C extension that it meets while it is imported, too."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

ENDING: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that ask a process to end: from `kill` or a service manager, or because its terminal has
closed."""

_EXIT_CODE_OF_A_SIGNAL: Final = 128


class Terminated(KeyboardInterrupt):
    """A signal asked the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = _EXIT_CODE_OF_A_SIGNAL + number


class Ending:
    """The signal that has asked this process to end, if one has."""

    def __init__(self) -> None:
        self.asked: KeyboardInterrupt | None = None

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGINT."""
        self.asked = KeyboardInterrupt()
        raise self.asked


@contextmanager
def ended_by_exception() -> Iterator[Ending]:
    """While the block runs, SIGTERM and SIGHUP raise `Terminated` in the main thread, once.

    A second one changes nothing, so that it cannot cut off what the first one's exception cleans
    up. A signal that the caller ignores (`nohup`) stays ignored. Processes that were forked
    meanwhile end as they would have without this. Outside the main thread it does nothing. SIGINT
    raises as ever; it gives what has come, SIGINT among them.
    """
    ending = Ending()
    if threading.current_thread() is not threading.main_thread():
        yield ending
        return
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        for each in taken:
            signal.signal(each, signal.SIG_IGN)
        ending.asked = Terminated(number)
        raise ending.asked

    taken = [number for number in ENDING if signal.getsignal(number) == signal.SIG_DFL]
    is_pythons = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        for number in taken:
            signal.signal(number, end)
        if is_pythons:
            signal.signal(signal.SIGINT, ending.interrupt)
        yield ending
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
        if is_pythons:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def ended_at_once(by: str) -> Iterator[None]:
    """While the block runs, a signal that would raise an exception ends this process with a line.

    For a program's imports, which have made nothing that is to be cleared up: an extension module
    that an exception meets half-way may crash, and Python prints a traceback of an exception for
    which nothing is prepared yet. Signals that are ignored, or end the process by themselves, do as
    before. Outside the main thread it does nothing.

    Args:
        by: what the line begins with.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            name = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
            with suppress(OSError):  # stderr may be closed
                os.write(2, f"{by}: stopped{name}\n".encode())
        os._exit(_EXIT_CODE_OF_A_SIGNAL + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDING)}
    before = {number: handler for number, handler in before.items() if callable(handler)}
    try:
        for number in before:
            signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Signals that would raise in this process wait until the block is done; for a few short steps
    that belong together.

    Their handlers wait, and the signals themselves do not: a signal to the process goes to any
    thread that has not blocked it, and the threads that onnxruntime and numpy start never have, so
    that a mask on the main thread holds nothing back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = True
    came: list[int] = []
    before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            came.append(number)
        else:  # it came while the handlers below were being put back
            before[number](number, frame)

    try:
        for number in (signal.SIGINT, *ENDING):
            handler = signal.getsignal(number)
            if callable(handler):  # else it is ignored, or ends the process without an exception
                before[number] = handler
                signal.signal(number, hold)
        yield
    finally:
        held = False
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
