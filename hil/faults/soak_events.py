"""Events in a soak: to its trials, the board, the line and the live page."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, Literal, Protocol

Event = Literal[
    "none",
    "kill_host",
    "interrupt_host",
    "hold_host",
    "noise",
    "silent_line",
    "kill_board",
    "kill_page",
    "close_page",
]
EVENTS: Final[tuple[Event, ...]] = (
    *("none", "none", "kill_host", "interrupt_host", "hold_host", "noise", "silent_line"),
    "kill_board",
)
"""Events of a trial; each comes as often as it is listed."""
PAGE_EVENTS: Final[tuple[Event, ...]] = ("kill_page", "close_page")
"""Further events if there is a browser: the live page's process or its tab is killed."""


UNARMED_S: Final = 10.0
"""A person who has pressed Arm and closed the page gives the trial up after so long."""


class Person(Protocol):
    """Somebody with a browser."""

    def arm(self, url: str) -> bool:
        """Open a trial's live page and press Arm there; whether the page let them."""

    def leave(self) -> None:
        """Close the page."""


class FaultyBoard(Protocol):
    """A board that things happen to."""

    silent_until_s: float
    """Monotonic time until which no byte passes on its line, in s."""

    def kill(self) -> None:
        """Kill the board's process, and its motor with it, and start it again."""

    def disturb(self, noise: bytes) -> None:
        """Send bytes that nobody sent to the board and to the host."""


def let_happen(event: Event, dice: random.Random, board: FaultyBoard, process: BaseProcess) -> None:
    """Bring the event about at a moment between the first HELLO and the end of the trial."""
    time.sleep(dice.uniform(0.3, 3.0))
    assert process.pid is not None
    if event == "kill_board":
        board.kill()
    elif event == "silent_line":
        board.silent_until_s = time.monotonic() + dice.uniform(0.01, 0.5)
    elif event == "noise":
        for _ in range(10):
            board.disturb(dice.randbytes(dice.randint(1, 200)))
            time.sleep(0.01)
    elif event != "none" and process.is_alive():
        _hit(event, process.pid, dice)


def be_at_the_page(
    event: Event,
    dice: random.Random,
    person: Person,
    process: BaseProcess,
    words: Path,
    is_armed: Callable[[], bool],
) -> None:
    """Arm the trial as a person at the page does; a moment later the page is gone.

    A trial waits for Arm as long as it takes, its motor off. One whose page could not be used, or
    closed before the press came through, is therefore ended by Ctrl-C in its terminal.
    """
    address = None
    while address is None and process.is_alive():
        time.sleep(0.02)
        said = words.read_text() if words.is_file() else ""
        address = re.search(r"http://\S+(?=\s)", said)
    if address is None:
        return  # refused, with a line
    has_pressed = person.arm(address[0])
    time.sleep(dice.uniform(0.0, 1.0))
    if event == "kill_page" and (page := _page_of(process)) is not None:
        os.kill(page, signal.SIGKILL)
    person.leave()
    process.join(UNARMED_S if has_pressed else 0.0)
    if process.is_alive() and not is_armed() and process.pid is not None:
        os.kill(process.pid, signal.SIGINT)


def _page_of(process: BaseProcess) -> int | None:
    """Return the process of the trial's live page; None when it has ended."""
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        for child in map(int, children.split()):
            if b"sparsectl.hil.live.page" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
    except OSError:
        pass  # the trial, or its child, has just ended
    return None


def _hit(event: Event, pid: int, dice: random.Random) -> None:
    if event == "kill_host":
        os.kill(pid, signal.SIGKILL)
    elif event == "interrupt_host":
        os.kill(pid, signal.SIGINT)
    else:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(dice.uniform(0.02, 0.5))
        os.kill(pid, signal.SIGCONT)
