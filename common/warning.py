"""What a person should hear before a result is used, on stderr; the command goes on."""

from __future__ import annotations

import sys


def warn(text: str) -> None:
    """Say it in one line."""
    print(f"sparsectl: warning: {' '.join(text.split())}", file=sys.stderr, flush=True)
