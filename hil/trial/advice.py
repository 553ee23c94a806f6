"""Advise a person about a fault that ended a trial, in half a line."""

from __future__ import annotations

from typing import Final

from sparsectl.firmware_host.config_header import COMMAND_TICKS
from sparsectl.protocol.wire import Fault

_ADVICE: Final[dict[Fault, str]] = {
    Fault.BASE_TRAVEL: "the base reached its limit; does [base] limit match this track?",
    Fault.BASE_RATE: "check the base's encoder: its plug, its counts in the rig file",
    Fault.POLE_RATE: "check the pole's encoder: its plug, its counts in the rig file",
    Fault.NON_FINITE: "the policy's output is not finite or is no duty's index; export it again",
    Fault.STUCK_BASE: (
        "check the motor's supply and the base's encoder; does something hold the base?"
    ),
    Fault.STUCK_POLE: "check the pole's encoder; does something hold the pole?",
    Fault.REVERSED_BASE: "the base counts against the motor; find the signs with --check-wiring",
    Fault.REVERSED_POLE: (
        "pole and base disagree about the direction; find the signs with --check-wiring"
    ),
    Fault.OVER_CURRENT: "check for a short or a jam before the next trial",
    Fault.OVERRUN: (
        "two of its ticks were more than 0.1 s apart: on the virtual rig the machine is busy, "
        "where --fifo helps; on a board a tick takes too long, `sparsectl build` says how long"
    ),
    Fault.WATCHDOG: "its firmware hung, or its timer stopped; reset it",
    Fault.CLOCK: "its timer and its second clock disagree; reset it, and check its crystal",
    Fault.LIMIT_SWITCH: (
        "the base is at a limit switch, a switch's wire is broken, or this board has no input for "
        "them; push the base to the middle and check the loop"
    ),
    Fault.ENCODER_LOST: (
        "an encoder's edges came too fast or with noise: check its wiring; `sparsectl build` says "
        "how many a second this board counts"
    ),
}


BUSY_LINE: Final = 0.5
"""Share of the time above which a busy line explains delays."""


def advice(fault: Fault, period_us: int, link_ticks: int, line_share: float = 0.0) -> str:
    """Explain what happened and what to do about it; empty if there is nothing to say.

    Args:
        fault: the fault that the board has latched.
        period_us: the control period.
        link_ticks: the board's time-out for a silent host.
        line_share: share of each period in which the line is busy; see `hil.timing.line_budget`.
    """
    if fault in (Fault.LINK_LOST, Fault.COMMAND_LATE) and line_share > BUSY_LINE:
        return (
            f"the line is too slow: a tick's frames take {line_share:.0%} of its "
            f"{period_us / 1000:g} ms; use a higher --baud, on the board as here"
        )
    if fault == Fault.LINK_LOST:
        silent_ms = link_ticks * period_us / 1000
        return (
            f"it received nothing from this program for {silent_ms:g} ms: the cable is bad or the "
            "machine is busy; give this program priority with --fifo, or a longer "
            "--link-timeout-ticks"
        )
    if fault == Fault.COMMAND_LATE:
        late_ms = COMMAND_TICKS * period_us / 1000
        return (
            f"the policy's command did not come within {late_ms:g} ms: the machine is busy; give "
            "this program priority with --fifo, or run the policy on the board with --mode device"
        )
    return _ADVICE.get(fault, "")


def homing_failed(fault: Fault) -> str:
    """Explain why homing failed, and what to do about it."""
    what = _ADVICE.get(fault) or "let base and pole come to rest in the middle, then retry"
    return f"homing failed: {fault.name}; {what}"
