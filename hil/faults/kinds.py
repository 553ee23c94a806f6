"""The faults that can be injected, each with the safe state in which it has to end.

Only names and words are here, so that `--help` can list them; what they do is in `plant.py`,
`line_faults.py` and `board.py`, and of a host in `hil.fault_matrix.host`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from sparsectl.common.errors import UserError
from sparsectl.protocol.enums import Fault, State

Family = Literal["plant", "line", "host", "board"]
Precondition = Literal[
    "",
    "base at its limit",
    "base driven at rest, or at its limit",
    "base travelled",
    "base driven",
    "motor commanded back",
    "limit switch open",
]
Window = Literal[
    "", "dead stop", "stuck", "answers", "current", "homing", "overrun", "watchdog", "clock"
]


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault and how it has to end."""

    name: str
    family: Family
    does: str
    """A short description of what happens."""
    ends: tuple[Fault, ...]
    """Reasons that the board may give; it depends on the motion which check is first."""
    window: Window = ""
    """What the check needs to observe before it can detect the fault; the motor is off at most 3
    periods later."""
    precondition: Precondition = ""
    """What has to come first if the fault alone shows nothing: a still pole need not count as
    stuck before the base has travelled a quarter of its limit."""
    from_boot: bool = False
    """True if the fault is there from the start, whatever time is asked for, as a swapped cable
    is."""
    state: State = State.FAULT
    """The state in which it ends."""


def _table(family: Family, *rows: FaultKind) -> tuple[FaultKind, ...]:
    assert all(row.family == family for row in rows)
    return rows


F = Fault

PLANT: Final = _table(
    "plant",
    FaultKind(
        "stuck_pole_encoder",
        "plant",
        "the pole's counts freeze",
        (F.STUCK_POLE,),
        "stuck",
        "base travelled",
    ),
    FaultKind("stuck_base_encoder", "plant", "the base's counts freeze", (F.STUCK_BASE,), "stuck"),
    FaultKind(
        "unplugged_pole_encoder",
        "plant",
        "the pole's counts fall to 0 and stay",
        (F.POLE_RATE, F.STUCK_POLE),
        "stuck",
        "base travelled",
    ),
    FaultKind(
        "unplugged_base_encoder",
        "plant",
        "the base's counts fall to 0 and stay",
        (F.BASE_RATE, F.STUCK_BASE),
        "stuck",
    ),
    FaultKind("noisy_pole_encoder", "plant", "wild counts on the pole's encoder", (F.POLE_RATE,)),
    FaultKind(
        "noisy_base_encoder",
        "plant",
        "wild counts on the base's encoder",
        (F.BASE_RATE, F.BASE_TRAVEL),
    ),
    FaultKind(
        "overflowed_base_encoder",
        "plant",
        "the base's counter jumps by half of its range",
        (F.BASE_TRAVEL,),
    ),
    FaultKind(
        "reversed_pole_encoder",
        "plant",
        "the pole's encoder counts backwards",
        (F.REVERSED_POLE,),
        "answers",
        from_boot=True,
    ),
    FaultKind(
        "reversed_base_encoder",
        "plant",
        "the base's encoder counts backwards",
        (F.REVERSED_BASE, F.REVERSED_POLE),
        "answers",
        from_boot=True,
    ),
    FaultKind(
        "reversed_motor",
        "plant",
        "the motor's wires are swapped",
        (F.REVERSED_BASE,),
        "answers",
        from_boot=True,
    ),
    FaultKind(
        "drifting_base_zero",
        "plant",
        "the base's belt slips, and its zero wanders off",
        (F.LIMIT_SWITCH,),
        precondition="limit switch open",
    ),
    FaultKind(
        "cut_limit_switch", "plant", "a wire of the limit switches breaks", (F.LIMIT_SWITCH,)
    ),
    FaultKind(
        "jammed_base",
        "plant",
        "the base is held",
        (F.STUCK_BASE,),
        precondition="base driven",
    ),
    FaultKind(
        "jammed_pole",
        "plant",
        "the pole is held",
        (F.STUCK_POLE,),
        "stuck",
        "base travelled",
    ),
    FaultKind(
        "lost_supply",
        "plant",
        "the motor's supply is gone",
        (F.STUCK_BASE, F.REVERSED_BASE, F.BASE_TRAVEL),
        "answers",
        "base driven at rest, or at its limit",
    ),
    FaultKind(
        "sagging_supply",
        "plant",
        "the supply falls to a tenth",
        (F.STUCK_BASE, F.REVERSED_BASE, F.BASE_TRAVEL),
        "answers",
        "base driven at rest, or at its limit",
    ),
    FaultKind(
        "shorted_motor", "plant", "the motor draws ten times as much", (F.OVER_CURRENT,), "current"
    ),
    FaultKind(
        "stuck_bridge",
        "plant",
        "the bridge drives fully, whatever the command",
        (F.BASE_TRAVEL, F.REVERSED_BASE),
        "answers",
        "motor commanded back",
    ),
    FaultKind(
        "skipped_base_edges",
        "plant",
        "the base's edges come too fast to be counted",
        (F.ENCODER_LOST,),
        precondition="base travelled",
    ),
    FaultKind(
        "skipped_pole_edges",
        "plant",
        "the pole's edges come too fast to be counted",
        (F.ENCODER_LOST,),
        precondition="base travelled",
    ),
    FaultKind(
        "overflowed_pole_encoder",
        "plant",
        "the pole's counter jumps by half of its range",
        (F.POLE_RATE,),
    ),
    FaultKind(
        "dead_base_channel",
        "plant",
        "one channel of the base's encoder is dead: its count only flickers",
        (F.STUCK_BASE,),
        "stuck",
    ),
    FaultKind(
        "dead_pole_channel",
        "plant",
        "one channel of the pole's encoder is dead: its count only flickers",
        (F.STUCK_POLE,),
        "stuck",
        "base travelled",
    ),
    FaultKind(
        "broken_current_sensor",
        "plant",
        "the current sensor says the most that it can",
        (F.OVER_CURRENT,),
        "current",
    ),
    FaultKind("shoved_base", "plant", "a blow sends the base off", (F.BASE_RATE, F.BASE_TRAVEL)),
    FaultKind("whirled_pole", "plant", "a blow whirls the pole", (F.POLE_RATE,)),
    FaultKind(
        "swaying_pole",
        "plant",
        "the pole never comes to rest",
        (F.HOMING_TIMEOUT,),
        "homing",
        from_boot=True,
    ),
)

LINE: Final = _table(
    "line",
    FaultKind("cut_cable", "line", "no byte passes, either way", (F.LINK_LOST,)),
    FaultKind("cut_to_board", "line", "no byte reaches the board", (F.LINK_LOST,)),
    FaultKind("cut_to_host", "line", "no byte reaches the host", (F.LINK_LOST,)),
    FaultKind("flipped_bits", "line", "bits flip (0.2 of the bytes, or =P)", (F.LINK_LOST,)),
    FaultKind("dropped_bytes", "line", "bytes get lost (0.2 of them, or =P)", (F.LINK_LOST,)),
    FaultKind("inserted_bytes", "line", "bytes appear (0.2 as many, or =P)", (F.LINK_LOST,)),
    FaultKind("doubled_bytes", "line", "bytes come twice (0.2 of them, or =P)", (F.LINK_LOST,)),
    FaultKind("wrong_baud", "line", "each byte arrives as another", (F.LINK_LOST,)),
    FaultKind(
        "babble",
        "line",
        "random bytes pour in between the frames",
        (F.NONE,),
        state=State.ACTIVE,
    ),
    FaultKind("delayed_bytes", "line", "all bytes come 0.2 s late, or =S", (F.LINK_LOST,)),
    FaultKind("looped_cable", "line", "both ends hear only themselves", (F.LINK_LOST,)),
    FaultKind("truncated_frames", "line", "each frame loses its last byte", (F.LINK_LOST,)),
    FaultKind("stalled_bytes", "line", "no byte for 0.2 s, or =S, then all", (F.LINK_LOST,)),
)

HOST: Final = _table(
    "host",
    FaultKind("silent_host", "host", "the host sends nothing any more", (F.LINK_LOST,)),
    FaultKind(
        "missing_commands", "host", "the host answers but sends no COMMAND", (F.COMMAND_LATE,)
    ),
    FaultKind("late_commands", "host", "COMMANDs come 3 ticks late", (F.COMMAND_LATE,)),
    FaultKind("repeated_command", "host", "the same COMMAND comes again", (F.COMMAND_LATE,)),
    FaultKind("nan_command", "host", "the host's policy puts out NaN", (F.NON_FINITE,)),
    FaultKind("infinite_command", "host", "the host's policy puts out infinity", (F.NON_FINITE,)),
    FaultKind(
        "runaway_command",
        "host",
        "the host's policy asks for full duty",
        (F.BASE_TRAVEL,),
        precondition="base at its limit",
    ),
    FaultKind("early_commands", "host", "COMMANDs are for ticks to come", (F.COMMAND_LATE,)),
    FaultKind("immortal_command", "host", "COMMANDs ask to live for 255 ticks", (F.COMMAND_LATE,)),
    FaultKind(
        "huge_command",
        "host",
        "the host's policy puts out 1e30",
        (F.BASE_TRAVEL,),
        precondition="base at its limit",
    ),
    FaultKind(
        "misplaced_requests",
        "host",
        "the host asks for what ACTIVE forbids: MODE, CONFIG, HOME, BENCH, COMMAND, an old ARM",
        (F.NONE,),
        state=State.ACTIVE,
    ),
    FaultKind("disarmed", "host", "the person ends the trial", (F.NONE,), state=State.HOMED),
    FaultKind(
        "armed_by_an_old_frame", "host", "after ESTOP an earlier ARM comes again", (F.ESTOP,)
    ),
    FaultKind("emergency_stop", "host", "the person stops the trial", (F.ESTOP,)),
)

BOARD: Final = _table(
    "board",
    FaultKind("stalled_board", "board", "one tick takes 6 periods", (F.OVERRUN,), window="overrun"),
    FaultKind(
        "brief_stall",
        "board",
        "one tick takes 3 periods, which is allowed",
        (F.NONE,),
        state=State.ACTIVE,
    ),
    FaultKind(
        "restarted_board",
        "board",
        "the board's supply fails for a moment, and it starts again",
        (F.NONE,),
        window="watchdog",
        state=State.SAFE,
    ),
    FaultKind("hung_board", "board", "the policy never returns", (F.WATCHDOG,), window="watchdog"),
    FaultKind(
        "spinning_board",
        "board",
        "the main loop runs without ticks",
        (F.WATCHDOG,),
        window="watchdog",
    ),
    FaultKind("frozen_timer", "board", "the timer stands still", (F.WATCHDOG,), window="watchdog"),
    FaultKind(
        "stopped_ticks",
        "board",
        "the tick's interrupt stops, all else continues",
        (F.WATCHDOG,),
        window="watchdog",
    ),
    FaultKind("slow_timer", "board", "the timer runs at half its rate", (F.CLOCK,), window="clock"),
    FaultKind(
        "fast_timer", "board", "the timer runs at twice its rate", (F.CLOCK,), window="clock"
    ),
)

FAULTS: Final[dict[str, FaultKind]] = {kind.name: kind for kind in (*PLANT, *LINE, *HOST, *BOARD)}
INJECTABLE: Final = tuple(kind.name for kind in (*PLANT, *LINE))
"""The faults that `sparsectl trial --fault` takes; those of host and board are for the fault
matrix."""


@dataclass(frozen=True)
class FaultSpec:
    """A fault to inject: which, when, and how much of it."""

    kind: FaultKind
    after_s: float
    """Seconds after the motor was first driven."""
    amount: float | None = None

    @classmethod
    def parse(cls, text: str) -> FaultSpec:
        """Read NAME@SECONDS or NAME=AMOUNT@SECONDS; without @ it comes at once.

        Raises:
            UserError: no such fault, or no such number.
        """
        head, _, after = text.partition("@")
        name, _, amount = head.partition("=")
        if name not in INJECTABLE:
            raise UserError(f"--fault is {text!r}; name one of {', '.join(INJECTABLE)}")
        return cls(FAULTS[name], _number(after or "0", text), _number(amount, text, True))

    def __str__(self) -> str:
        amount = "" if self.amount is None else f"={self.amount:g}"
        return f"{self.kind.name}{amount}@{self.after_s:g}"


def _number(word: str, text: str, optional: bool = False) -> float:
    """Parse a finite number of at least 0."""
    if optional and not word:
        return None  # type: ignore[return-value]
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise UserError(f"--fault is {text!r}; give NAME@SECONDS or NAME=AMOUNT@SECONDS")
    return number


def fault_help() -> str:
    """Describe all faults, for `--help`."""
    listed = "; ".join(f"{name}: {FAULTS[name].does}" for name in INJECTABLE)
    return (
        "A fault of the virtual rig: NAME@SECONDS after the motor was first driven, or "
        f"NAME=AMOUNT@SECONDS. {listed}"
    )
