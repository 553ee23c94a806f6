"""A better place in the queue for the processes that have to wake on time."""

from __future__ import annotations

import os

NICENESS = -15


def raise_priority(process: int) -> bool:
    """Let `process` run before ordinary ones; False where this user may not.

    A virtual rig keeps the control period of a real one on a machine that does other work too. It
    sleeps most of the time, so the others lose little.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, process, NICENESS)
    except (PermissionError, ProcessLookupError):
        return False
    return True
