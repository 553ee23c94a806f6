"""`python -m sparsectl.experiments.child`: a command that ends with the sweep that started it.

Its standard input is a pipe of which the sweep holds the other end, whatever the sweep dies of.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Final

from sparsectl.cli import main

PATIENCE_S: Final = 10.0
"""For the command to end by itself, once the sweep is gone."""


def _end_with(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE_S)
    os._exit(128 + signal.SIGTERM)


def _main() -> None:
    lifeline = os.dup(0)  # programs that the command starts do not inherit it
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    main()


if __name__ == "__main__":
    _main()
