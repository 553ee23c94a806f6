"""What a person should hear before a result is used, on stderr; the command goes on."""

from __future__ import annotations

import sys
from functools import cache


@cache
def warn(text: str) -> None:
    """Say it in one line, and once."""
    print(f"sparsectl: warning: {' '.join(text.split())}", file=sys.stderr, flush=True)
