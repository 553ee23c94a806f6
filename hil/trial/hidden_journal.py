"""Keep a trial's journal under a hidden name until the board is armed, so that a refused trial
leaves nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sparsectl.common.folder_lock import locked_folder
from sparsectl.hil.journal.host_time import MonotonicTime, VirtualTime
from sparsectl.hil.journal.journal import NAME, JournalWriter
from sparsectl.hil.planning.plan import Plan

HIDDEN = f".{NAME}"


@contextmanager
def hidden_journal(plan: Plan) -> Iterator[JournalWriter]:
    """Start the journal in a folder that this process has locked; remove it at the end unless it
    was shown."""
    hidden = plan.folder / HIDDEN
    now = VirtualTime() if plan.is_lockstep else MonotonicTime()
    with JournalWriter(hidden, plan.header().to_json(), now) as journal:
        if not plan.is_lockstep:
            journal.note("started", unix_ns=time.time_ns())
        try:
            yield journal
        finally:
            if not is_shown(plan):
                hidden.unlink()


@contextmanager
def trial_folder(plan: Plan) -> Iterator[None]:
    """Lock the trial's folder; remove it at the end if it was made for a trial that was refused.

    Raises:
        UserError: another trial writes into the folder.
    """
    with locked_folder(plan.folder) as is_new:
        try:
            yield
        finally:
            if is_new and not (plan.folder / NAME).exists():
                shutil.rmtree(plan.folder)  # with the firmware that was built for nothing


def show(plan: Plan, journal: JournalWriter) -> None:
    """Give the journal its name: the board is about to be armed, so the journal stays in any
    case."""
    journal.move(plan.folder / NAME)


def is_shown(plan: Plan) -> bool:
    """Return whether the journal has its name."""
    return not (plan.folder / HIDDEN).exists()
