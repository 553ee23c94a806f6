"""Print a trial's messages on the terminal, which may have been closed."""

from __future__ import annotations

import os
import sys


def say(words: str) -> None:
    """Print a line on stderr.

    A closed terminal must neither stop the shutdown nor change the exit code, so further messages
    are discarded.
    """
    try:
        print(words, file=sys.stderr, flush=True)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
