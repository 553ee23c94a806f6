"""A trial's journal, under a hidden name until the board is armed: a refusal leaves nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hil.host_time import MonotonicTime, VirtualTime
from hil.journal import NAME, JournalWriter
from hil.plan import Plan

HIDDEN = f".{NAME}"


@contextmanager
def hidden_journal(plan: Plan) -> Iterator[JournalWriter]:
    """Begin the journal; unless it was shown, it is gone at the end, with a folder made for it."""
    hidden, is_new = plan.folder / HIDDEN, not plan.folder.exists()
    now = VirtualTime() if plan.is_lockstep else MonotonicTime()
    with JournalWriter(hidden, plan.header(), now) as journal:
        if not plan.is_lockstep:
            journal.note("started", unix_ns=time.time_ns())
        try:
            yield journal
        finally:
            if not is_shown(plan):
                hidden.unlink()
                if is_new:
                    shutil.rmtree(plan.folder)  # with the firmware that was built for nothing


def show(plan: Plan, journal: JournalWriter) -> None:
    """The board is going to be armed: from here on the journal stays, whatever comes."""
    journal.move(plan.folder / NAME)


def is_shown(plan: Plan) -> bool:
    """Whether the journal has got its name."""
    return not (plan.folder / HIDDEN).exists()
