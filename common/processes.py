"""End processes that this program has started."""

from __future__ import annotations

import subprocess
from typing import Any

PATIENCE_S = 2.0
"""How long a process may take to end before it is killed."""


def end(
    process: subprocess.Popen[Any], *, ask: bool = True, patience_s: float = PATIENCE_S
) -> None:
    """Wait for a process to end, after SIGTERM if `ask` is set; kill it if it takes too long."""
    if ask and process.poll() is None:
        process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
