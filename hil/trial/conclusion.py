"""Conclude a trial whose motor is off: tell the person how it ended, then compute its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparsectl.common.errors import EXIT_FAULT, UserError
from sparsectl.hil.drives.safety import Interrupted
from sparsectl.hil.drives.terminal import say
from sparsectl.hil.journal.journal import NAME
from sparsectl.hil.planning.plan import Plan
from sparsectl.hil.trial.finish import finish
from sparsectl.protocol.wire import Fault


@dataclass(frozen=True)
class Ending:
    """How a trial ended that had been armed.

    Attributes:
        error: what ended it; None if it came to its own end or the board stopped it.
        why: the reason in words, as the journal has it.
        fault: what the board has latched.
        motor: the state of the motor, in words.
        has_journal: whether the journal is still where it was written.
    """

    error: UserError | Interrupted | None
    why: str
    fault: Fault
    motor: str
    has_journal: bool


def conclude(plan: Plan, ending: Ending) -> dict[str, Any]:
    """Say how the trial ended, then write its summary and report; return its result.

    In this order nobody beside a motor has to wait for a report, and the ending has been said even
    if this program is then ended or the disk is full.

    Raises:
        UserError: what ended the trial, or why its result cannot be computed or written.
        SystemExit: a signal or the e-stop key ended the trial.
    """
    path, error, result = plan.folder / NAME, ending.error, None
    gone = f"the journal {path} was deleted or moved meanwhile"
    if isinstance(error, Interrupted):
        kept = f"journal {path}" if ending.has_journal else gone
        if ending.fault in (Fault.NONE, Fault.ESTOP):
            say(f"trial ended by {error}: {ending.motor}, {kept}")
        else:  # the board was first
            say(f"trial ended: {ending.why}, {kept}")
    elif error is None and ending.fault != Fault.NONE:
        say(f"trial ended: {ending.why}")
    try:
        if not ending.has_journal:
            raise UserError(f"{gone}, so the trial has no result; run it again")
        result = finish(plan)
    except UserError as lacking:
        if error is None:  # otherwise what ended the trial, such as a full disk, is the news
            raise _without_result(ending, lacking) from lacking
    if isinstance(error, Interrupted):
        raise SystemExit(error.exit_code)
    if error is not None:
        kept = f"the journal is kept: {path}" if ending.has_journal else gone
        reason = UserError(f"{error}; {ending.motor} ({kept})")
        reason.exit_code = error.exit_code
        raise reason
    assert result is not None
    return result if ending.fault == Fault.NONE else {**result, "exit_code": EXIT_FAULT}


def _without_result(ending: Ending, lacking: UserError) -> UserError:
    """Return the error of a trial that came to its end but whose result cannot be had."""
    if ending.fault == Fault.NONE:
        return UserError(f"the trial ended ({ending.why}), but {lacking}")
    error = UserError(str(lacking))
    error.exit_code = EXIT_FAULT
    return error
