"""Processes that we started, and their end."""

from __future__ import annotations

import subprocess
from typing import Any

PATIENCE_S = 2.0
"""Between asking a process to end and killing it."""


def end(
    process: subprocess.Popen[Any], *, ask: bool = True, patience_s: float = PATIENCE_S
) -> None:
    """Wait for a process to end; `ask` it to by SIGTERM; kill it where that takes too long."""
    if ask and process.poll() is None:
        process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
