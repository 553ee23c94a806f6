from __future__ import annotations

import os
import pty
import time

from firmware_host.wire import State
from hil.progress import Progress
from hil.samples import Sample

SAMPLE = Sample(1, 2_000_000, 0, 0, 0, 0.5, 0.5, 0, 0, 0, int(State.ACTIVE), 0, 0)


def test_a_bar_says_how_far_it_is() -> None:
    far, near = pty.openpty()
    with os.fdopen(near, "w") as terminal:
        with Progress(10.0, terminal) as progress:
            progress.show(SAMPLE, 1_000_000, 0.1)
        terminal.flush()
        shown = os.read(far, 65536).decode()
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
    shown = b""
    while b"swing up" not in shown:  # it takes something again: what was held up comes
        shown += os.read(far, 65536)
    time.sleep(0.1)
    terminal.close()
    os.close(far)
