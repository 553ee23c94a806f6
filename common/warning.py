"""Print warnings on stderr; the command continues."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache


@cache
def warn(text: str) -> None:
    """Print a warning in one line, once per process."""
    with suppress(OSError):  # stderr may be closed
        print(f"sparsectl: warning: {' '.join(text.split())}", file=sys.stderr, flush=True)
