"""`python -m sparsectl.experiments.child`: a command that ends when the sweep that started it does.

Its standard input is a pipe whose other end the sweep holds, so it closes however the sweep ends.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Final

from sparsectl.cli import main

PATIENCE_S: Final = 10.0
"""Time in which the command may end by itself after the sweep has ended."""


def _end_with(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE_S)
    os._exit(128 + signal.SIGTERM)


def _main() -> None:
    # A shell ignores SIGINT for what it runs in the background; the sweep stops its tasks by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    lifeline = os.dup(0)  # programs that the command starts do not inherit it
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    main()


if __name__ == "__main__":
    _main()
