"""A session in which the base moves outside of a trial: whatever ends it stops the motor first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sparsectl.common.errors import UserError
from sparsectl.hil.drives.estop_key import EstopKey
from sparsectl.hil.drives.safety import (
    Interrupted,
    InterruptGuard,
    emergency_stop,
    motor_after_stop,
)
from sparsectl.hil.drives.terminal import say
from sparsectl.hil.journal.host_time import MonotonicTime, VirtualTime
from sparsectl.hil.journal.journal import JournalWriter
from sparsectl.hil.journal.recorder import LiveRecorder, LockstepRecorder
from sparsectl.hil.link.link import Link, LinkLost
from sparsectl.hil.link.session import Session
from sparsectl.hil.planning.plan import Plan


@dataclass(frozen=True)
class GuardedSession:
    """An open session with what watches and records it.

    Attributes:
        session: with the board; it has not been greeted yet.
        guard: checks for signals and for the e-stop key.
        journal: of everything that passes.
    """

    session: Session
    guard: InterruptGuard
    journal: JournalWriter


@contextmanager
def guarded_session(plan: Plan, journal_name: str, what: str) -> Iterator[GuardedSession]:
    """Open the plan's port, and a journal of this name in its folder. An error or an interruption
    within the block stops the motor, and a person is told of `what` that it ended, how, and what
    the motor does.

    Raises:
        UserError: the port cannot be opened, or what ended the block, with its cause.
        SystemExit: a signal or the e-stop key ended the block.
    """
    now = VirtualTime() if plan.is_lockstep else MonotonicTime()
    with (
        InterruptGuard() as guard,
        EstopKey() as key,
        plan.port_kind.open(plan.port_request()) as port,
        JournalWriter(plan.folder / journal_name, plan.header().to_json(), now) as journal,
    ):
        guard.add_button("the e-stop key", key.is_pressed)
        recorder = (LockstepRecorder if plan.is_lockstep else LiveRecorder)(journal)
        with Link(port.address, port.baud or plan.baud, recorder, was_used=True) as link:
            session = Session(link, journal)
            try:
                yield GuardedSession(session, guard, journal)
            except BaseException as error:
                is_off = emergency_stop(link)
                motor = motor_after_stop(is_off, plan.config.link_timeout_ticks, plan.rig.period_s)
                if isinstance(error, Interrupted):
                    when = f": {motor}" if session.has_armed else " before the motor was armed"
                    say(f"{what} ended by {error}{when}")
                    raise SystemExit(error.exit_code) from error
                if not isinstance(error, UserError):  # a defect of ours, or no memory
                    if session.has_armed:
                        say(f"{what} ended by a failure of this program: {motor}")
                    raise
                cause = session.explain(error)
                if isinstance(cause, LinkLost) and session.has_armed:
                    cause = LinkLost(f"{cause}; {motor}")
                raise cause from error
