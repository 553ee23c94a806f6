"""Raise the priority of the processes that have to wake on time.

By default a virtual rig raises its own niceness if the system allows it. With `trial --fifo` this
program, the rig and the noise floor's process all request SCHED_FIFO and locked memory: then only
the kernel and higher real-time priorities delay them. What the system refuses is reported and noted
in the journal.
"""

from __future__ import annotations

import ctypes
import os
import sys
from types import TracebackType
from typing import Final

NICENESS: Final = -15
FIFO_PRIORITY: Final = 20
"""Priority from 1 to 99: above ordinary real-time work, far below the kernel's own threads."""
_MCL_CURRENT, _MCL_FUTURE = 1, 2


def raise_priority(process: int, fifo: bool) -> str:
    """Let `process` (0: this thread and those it starts) run before others.

    A virtual rig keeps the control period of a real one on a machine that does other work too. It
    sleeps most of the time, so other processes lose little.

    Returns:
        The resulting scheduling: "fifo", "nice", or "ordinary" if this user may use neither.
    """
    if fifo and _set_fifo(process):
        return "fifo"
    try:
        os.setpriority(os.PRIO_PROCESS, process, NICENESS)
    except (PermissionError, ProcessLookupError):
        return "ordinary"
    return "nice"


class RealtimePriority:
    """SCHED_FIFO and locked memory for this program while the context lasts."""

    def __init__(self, asked: bool) -> None:
        """Do nothing unless `asked`."""
        self.asked = asked
        self.scheduling = "ordinary"
        self.memory_locked = False

    def __enter__(self) -> RealtimePriority:
        if not self.asked:
            return self
        self.scheduling = "fifo" if _set_fifo(0) else "ordinary"
        self.memory_locked = _lock_memory()
        if self.scheduling != "fifo":
            _say("SCHED_FIFO", "run as root, or set a limit: rtprio in /etc/security/limits.conf")
        if not self.memory_locked:
            _say("mlockall", "run as root, or set a limit: memlock in /etc/security/limits.conf")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.scheduling == "fifo":
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        if self.memory_locked:
            ctypes.CDLL(None).munlockall()

    def to_json(self) -> dict[str, bool | str]:
        """Return what was granted, for the journal."""
        return {
            "asked": self.asked,
            "scheduling": self.scheduling,
            "memory_locked": self.memory_locked,
        }


def _set_fifo(process: int) -> bool:
    try:
        os.sched_setscheduler(process, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
    except (AttributeError, OSError):  # not every system has it, not every user may
        return False
    return True


def _lock_memory() -> bool:
    try:
        return int(ctypes.CDLL(None).mlockall(_MCL_CURRENT | _MCL_FUTURE)) == 0
    except (AttributeError, OSError):
        return False


def _say(refused: str, mend: str) -> None:
    print(
        f"trial: the system refuses {refused}; the trial runs without it ({mend})", file=sys.stderr
    )
