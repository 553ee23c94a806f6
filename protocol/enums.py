"""The numbers on the wire that have names: states, faults, reasons, modes, clocks."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class State(IntEnum):
    """Safety state of the board. The motor can move in ACTIVE alone."""

    BOOT = 0
    """Starting; lasts until the first turn of the main loop."""
    SAFE = 1
    """Motor off, zero of the encoders unknown."""
    HOMING = 2
    """Motor off, waiting for both encoders to stand still; the pole must hang at rest."""
    HOMED = 3
    """Motor off, counts are zero at the base's middle and the pole's rest."""
    ARMED = 4
    """Motor off, limits checked; the next control tick makes it ACTIVE."""
    ACTIVE = 5
    """The policy drives the motor."""
    STOPPING = 6
    """Motor off, waiting for the base to come to rest; then HOMED."""
    FAULT = 7
    """Motor off, latched with its fault until HOME (→ HOMING) or DISARM: → SAFE, but → HOMED after
    LINK_LOST and COMMAND_LATE, which cast no doubt on the encoders."""


class Fault(IntEnum):
    """The reason why the board is in FAULT."""

    NONE = 0
    BASE_TRAVEL = 1
    """The base went beyond `base_limit`."""
    BASE_RATE = 2
    """The base went faster than `base_rate_limit`: a slipping or miscounting encoder."""
    POLE_RATE = 3
    """The pole went faster than `pole_rate_limit`."""
    NON_FINITE = 4
    """The policy put out NaN, an infinity, or the index of no duty."""
    STUCK_BASE = 5
    """The motor drove but the base's encoder did not move: jammed, unplugged, no supply."""
    STUCK_POLE = 6
    """The base moved as no free pole could stand still above, but the pole's encoder did not."""
    HOMING_TIMEOUT = 7
    """The encoders did not come to rest in time."""
    LINK_LOST = 8
    """The host fell silent while the board was ARMED or ACTIVE."""
    ESTOP = 9
    """The host asked for an emergency stop."""
    COMMAND_LATE = 10
    """Host mode: the newest COMMAND outlived its time to live."""
    OVERRUN = 11
    """The board itself skipped so many ticks that the duty was long stale."""
    OVER_CURRENT = 12
    """The motor took more than `current_limit_ma`: a short, a jam."""
    REVERSED_BASE = 13
    """The base went against the motor for longer than any inertia allows: encoder swapped."""
    REVERSED_POLE = 14
    """The pole swung the wrong way at the base's jerks: its encoder or the base's is swapped."""
    WATCHDOG = 15
    """The hardware watchdog restarted the board: its firmware hung, or its ticks stayed away."""
    CLOCK = 16
    """The clock of the ticks stood still, or ran at another rate than the board's second clock."""
    ENCODER_LOST = 17
    """Edges came faster than the board counts them: its zero and its travel are no longer true."""
    LIMIT_SWITCH = 18
    """A limit switch was open, or its wire broken: the base is at an end of its travel."""


class Reason(IntEnum):
    """The reason why a request was refused (NACK)."""

    WRONG_STATE = 1
    """The request is not allowed in this safety state; State says what leads where."""
    WRONG_MODE = 2
    """The request is not allowed in this mode or with this clock."""
    UNKNOWN_MODE = 3
    """No such mode in this firmware."""
    NOT_CONFIGURED = 4
    """CONFIG has to be accepted first."""
    WRONG_DIGEST = 5
    """CONFIG: the board holds another policy."""
    WRONG_PERIOD = 6
    """CONFIG: the board runs at another control period."""
    WRONG_BASE_SCALE = 7
    """CONFIG: the board scales the base's encoder otherwise."""
    WRONG_POLE_SCALE = 8
    """CONFIG: the board scales the pole's encoder otherwise."""
    WRONG_SIZES = 9
    """CONFIG: the board's policy takes or gives another number of values."""
    WRONG_NONCE = 10
    """ARM: not the nonce of the latest HELLO; a stale or repeated frame."""
    WRONG_TICK = 11
    """PLANT_STEP: neither the next tick nor the last one again. COMMAND: for a tick to come, one
    that has its command, or one whose time to live is over."""
    BAD_INDEX = 12
    """BENCH: no such golden vector."""
    BAD_VALUE = 13
    """A value that is not finite or out of its range."""
    WRONG_RIG = 14
    """CONFIG: the board was built with other constants of the rig; HELLO and RIG tell which."""


class Mode(IntEnum):
    """Says where the policy and the plant are."""

    DEVICE = 0
    """Policy and control tick on the board, real (or virtual-rig) encoders and motor."""
    PIL = 1
    """Processor in the loop: policy on the board, plant on the host, a tick for each PLANT_STEP."""
    HOST = 2
    """Policy on the host: the board samples, drives what COMMAND says, and keeps itself safe."""


class Clock(IntEnum):
    """Says what advances the board's time."""

    REALTIME = 0
    """A hardware or operating-system clock."""
    LOCKSTEP = 1
    """Virtual: control ticks run only as far as the host's STEP allows."""
    FAST = 2
    """Virtual: ticks run as fast as they can, at most `link_timeout_ticks` - 1 a host's frame."""


ENUMS: Final[tuple[type[IntEnum], ...]] = (State, Fault, Reason, Mode, Clock)
