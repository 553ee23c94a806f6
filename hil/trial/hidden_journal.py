"""Keep a trial's journal under a hidden name until the board is armed, so that a refused trial
leaves nothing."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sparsectl.common.folder_lock import locked_folder
from sparsectl.hil.journal.host_time import MonotonicTime, VirtualTime
from sparsectl.hil.journal.journal import NAME, JournalWriter
from sparsectl.hil.planning.plan import Plan

HIDDEN = f".{NAME}"
SUMMARY, REPORT = "summary.json", "report.html"
"""What `finish` writes beside the journal."""


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
            if not is_shown(journal):
                hidden.unlink(missing_ok=True)


@contextmanager
def trial_folder(plan: Plan) -> Iterator[None]:
    """Lock the trial's folder; remove it at the end if it was made for a trial that was refused.

    Raises:
        UserError: another trial writes into the folder.
    """
    with locked_folder(plan.folder) as is_new:
        ours = plan.folder.stat()
        try:
            yield
        finally:
            # A folder that was moved away may have made room for another trial's of that name.
            is_there = plan.folder.is_dir() and os.path.samestat(ours, plan.folder.stat())
            if is_new and is_there and not (plan.folder / NAME).exists():
                shutil.rmtree(plan.folder)  # with the firmware that was built for nothing


def show(plan: Plan, journal: JournalWriter) -> None:
    """Give the journal its name: the board is about to be armed, so the journal stays in any
    case.

    Results of an earlier trial in the folder go with its journal: if this trial is killed, they
    would seem to be its own.

    Raises:
        JournalLost: the folder has been deleted, or is not writable any more.
    """
    journal.move(plan.folder / NAME)
    for name in (SUMMARY, REPORT):
        with suppress(OSError):  # a folder of that name, which `finish` will refuse
            (plan.folder / name).unlink(missing_ok=True)


def is_shown(journal: JournalWriter) -> bool:
    """Return whether the journal has its name."""
    return journal.path.name == NAME
