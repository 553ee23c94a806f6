from __future__ import annotations

import os
import pty
import select
import time

from sparsectl.hil.journal.trace import Sample
from sparsectl.hil.trial.progress import Progress
from sparsectl.protocol.wire import State

SAMPLE = Sample(1, 2_000_000, 0, 0, 0, 0.5, 0.5, 0, 0, 0, int(State.ACTIVE), 0, 0)
SILENCE_S = 10.0


def read_until(terminal: int, wanted: str) -> str:
    """What comes until `wanted` is in it, or nothing more for as long as a busy machine may take.

    A pty hands on what was written in parts and later, so that one read may see the first alone.
    """
    shown = b""
    while wanted.encode() not in shown and select.select([terminal], [], [], SILENCE_S)[0]:
        shown += os.read(terminal, 65536)
    return shown.decode()


def test_a_bar_says_how_far_it_is() -> None:
    far, near = pty.openpty()
    with os.fdopen(near, "w") as terminal:
        with Progress(10.0, terminal) as progress:
            progress.show(SAMPLE, 1_000_000, 0.1)
        shown = read_until(far, "ACTIVE")
    os.close(far)
    assert "balance" in shown and "1.0/10 s" in shown and "+5.7° duty +0.50 ACTIVE" in shown


def test_a_terminal_that_takes_nothing_holds_nobody_up() -> None:
    """Written to from the loop this would hang for ever."""
    far, near = pty.openpty()
    os.set_blocking(near, False)
    try:
        while True:
            os.write(near, b"x" * 1024)
    except BlockingIOError:
        os.set_blocking(near, True)
    terminal = os.fdopen(near, "w")
    with Progress(10.0, terminal) as progress:
        for _ in range(50):
            progress.show(SAMPLE, None, 0.1)
            time.sleep(0.01)
    # it takes something again: what was held up comes
    assert "swing up" in read_until(far, "swing up")
    time.sleep(0.1)
    terminal.close()
    os.close(far)
