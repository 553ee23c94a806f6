"""What a trial says on the terminal, which may be gone."""

from __future__ import annotations

import os
import sys


def say(words: str) -> None:
    """Print a line on stderr.

    A terminal that was closed must neither stop the way down nor change the exit code, so what is
    left to be said goes nowhere from then on.
    """
    try:
        print(words, file=sys.stderr, flush=True)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
