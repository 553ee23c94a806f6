"""End processes that this program has started, also if this program is killed."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

PATIENCE_S = 2.0
"""How long a process may take to end before it is killed."""


def bound(command: list[str], signal_name: str = "KILL") -> list[str]:
    """Return the command of a process that gets this signal as soon as the thread that starts it
    has ended, by whatever.

    It is for programs that go on when nobody listens to them any more, such as emulators. Where
    util-linux' setpriv is missing, the command is returned as it is, and so is one that cannot be
    run: the error of starting it then names it.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or shutil.which(command[0]) is None:
        return command
    return [setpriv, "--pdeathsig", signal_name, *command]


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
