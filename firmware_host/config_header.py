"""Write firmware_config.h, the C header with the constants of rig, board and safety."""

from __future__ import annotations

import hashlib
import math
import re
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparsectl.common.float32 import float32
from sparsectl.plants.pole_pull import HEAVIEST, LEAST_PUSH_G
from sparsectl.plants.rig_constants import RigConstants
from sparsectl.policy.folder import PolicyFacts

if TYPE_CHECKING:
    from sparsectl.firmware_host.boards.board import Board

LINK_TIMEOUT_TICKS: Final = 3
"""Control ticks without a message from the host that end a run, unless CONFIG sets another
number."""
STUCK_DUTY: Final = 0.5
"""Share of the largest duty that must move any base."""
STUCK_TRAVEL: Final = 0.25
"""Share of the base's limit; over this distance no free pole stays still."""
COMMAND_TICKS: Final = 2
"""Longest time to live of a COMMAND: the motor is off within three ticks of the last one."""

RIG_DIGEST_BYTES: Final = 8
GUARDS: Final = ("angle", "clock_watch", "motion", "safety")
"""The files of the firmware's core that decide when the motor has to stop."""

_STILL_S = 0.5  # both encoders at rest for so long: that is home
_HOMING_S = 10.0
_REST_S = 0.1  # the base at rest for so long: it has stopped
_STOPPING_S = 2.0
_STUCK_S = 0.1
_TELLING_DUTY = 0.35  # of the largest: less may be lost to dead zone and friction
_ANSWERS_S = 0.2  # a rig that is driven has given three telling answers by then
_PULL_MARGIN = 1.25  # a unit's pole may drag its base harder than the rig's masses say
_BASE_STOP, _POLE_STOP = 1 / 8, 1 / 16  # of the rate limits: nothing stops dead from there
_LINK_MOST_S = 0.2  # no host may ask for more patience
_OVERRUN_S = 0.1  # a duty as stale as that drives blindly
_WATCHDOG_S = 0.1  # without a control tick: then the board starts again, motor off
_WATCHDOG_TICKS = 5  # of a slow rig, whose ticks are further apart
_CLOCK_S, _CLOCK_TICKS = 0.2, 8  # over so long two clocks are compared
_COMPUTE_NS = 300_000  # a small microcontroller's policy call, for the virtual clocks


def config_header(rig: RigConstants, policy: PolicyFacts, board: Board) -> str:
    """Return the text of ``firmware_config.h``: rig, board and safety, as macros."""
    lines = ["/* One firmware's rig and board. Generated when it was built. */"]
    lines += ["#ifndef FIRMWARE_CONFIG_H", "#define FIRMWARE_CONFIG_H", ""]
    lines += [f"/* Policy {policy.digest} */"]
    digest = ", ".join(f"0x{byte:02X}" for byte in rig_digest(rig))
    macros = {
        **_board(board),
        **_watchdog(board, rig),
        **constant_macros(rig),
        "RIG_DIGEST": f"{{ {digest} }}",
    }
    lines += [f"#define {name} {value}" for name, value in macros.items()]
    return "\n".join([*lines, "", "#endif", ""])


def constant_macros(rig: RigConstants) -> dict[str, str]:
    """Return the macros of a rig: its scales and limits, and those of the safety checks."""
    return {**_rig(rig), **_safety(rig), **_pole_pull(rig)}


def safety_ticks(rig: RigConstants) -> dict[str, int]:
    """Return how many control ticks each of the board's checks takes before it faults."""
    macros = _safety(rig)
    return {
        "dead stop": 2,
        "current": 2,
        "stuck": int(macros["SAFETY_STUCK_TICKS"].rstrip("u")),
        "answers": math.ceil(_ANSWERS_S * 1e6 / rig.period_us),
        "homing": int(macros["SAFETY_HOMING_TICKS"].rstrip("u")),
        "overrun": int(macros["SAFETY_OVERRUN_TICKS"].rstrip("u")),
        "watchdog": math.ceil(watchdog_us(rig.period_us) / rig.period_us),
        "clock": 2 * clock_ticks(rig.period_us),
        "zero": int(macros["SAFETY_STILL_TICKS"].rstrip("u")),
    }


def _board(board: Board) -> dict[str, str]:
    return {
        "FIRMWARE_BOARD": f'"{board.name}"',
        "FIRMWARE_VERSION": f'"{firmware_version()}"',
        "FIRMWARE_TIMER_HZ": f"{board.timer_hz}u",
        "FIRMWARE_COMPUTE_NS": f"{_COMPUTE_NS}u",
    }


def _watchdog(board: Board, rig: RigConstants) -> dict[str, str]:
    if board.watchdog is None:
        return {}
    divisor, counts = board.watchdog.setting(watchdog_us(rig.period_us))
    return {"BOARD_WATCHDOG_DIVISOR": f"{divisor}u", "BOARD_WATCHDOG_COUNTS": f"{counts}u"}


def _rig(rig: RigConstants) -> dict[str, str]:
    period_s = rig.period_us * 1e-6
    phase = round(rig.pole_rad_per_count / (2.0 * math.pi) * 2.0**64) % 2**64
    return {
        "RIG_PERIOD_US": f"{rig.period_us}u",
        "RIG_BASE_UNIT_PER_COUNT": _float(rig.base_unit_per_count),
        "RIG_POLE_RAD_PER_COUNT": _float(rig.pole_rad_per_count),
        "RIG_BASE_SPEED_PER_COUNT": _float(rig.base_unit_per_count / period_s),
        "RIG_POLE_SPEED_PER_COUNT": _float(rig.pole_rad_per_count / period_s),
        "RIG_POLE_PHASE_PER_COUNT": f"0x{phase:016X}u",
        "RIG_BASE_LIMIT": _float(rig.base_limit),
        "RIG_BASE_RATE_LIMIT": _float(rig.base_rate_limit),
        "RIG_POLE_RATE_LIMIT": _float(rig.pole_rate_limit),
        "RIG_MAX_DUTY": _float(rig.max_duty),
        "RIG_TELLING_JERK_COUNTS": str(_telling_jerk(rig)),
        "RIG_BASE_SENSE": "1" if rig.base_unit_per_count > 0 else "-1",
        "RIG_POLE_SENSE": str(rig.pole_sense),
        "RIG_LIMIT_SWITCHES": str(rig.limit_switches),
        "RIG_CURRENT_LIMIT_MA": str(round(min(rig.current_limit_a, 1000.0) * 1000)),
        "RIG_BASE_TRAVEL_COUNTS": str(math.floor(rig.base_limit / rig.base_unit)),
        "RIG_BASE_STEP_COUNTS": str(math.ceil(rig.base_rate_limit * period_s / rig.base_unit)),
        "RIG_POLE_STEP_COUNTS": str(math.ceil(rig.pole_rate_limit * period_s / rig.pole_rad)),
        **_duties(rig),
    }


def _pole_pull(rig: RigConstants) -> dict[str, str]:
    """Return the macros of what moves the base, in counts a tick squared: the largest duty, and
    the pole by the speeds of pole and arm in counts a tick (`plants.pole_pull`)."""
    numbers, period_s = rig.pole_pull, rig.period_us * 1e-6
    pull, unit = numbers.pull * _PULL_MARGIN, rig.base_unit
    # The largest pull and the fastest fall are of two poles where a cart's masses are not known;
    # of one pole their product is this.
    falling = numbers.coupled * numbers.push / LEAST_PUSH_G
    twist = 2.0 * numbers.level * _PULL_MARGIN
    spin = pull if numbers.level else 0.0
    return {
        "RIG_BASE_PUSH": _float(numbers.push * period_s**2 / (unit * rig.max_duty)),
        "RIG_PULL_TURN": _float(pull * rig.pole_rad**2 / unit),
        "RIG_PULL_FALL": _float(_PULL_MARGIN * falling * period_s**2 / unit),
        "RIG_PULL_SPIN": _float(spin * unit),
        "RIG_PULL_TWIST": _float(twist * rig.pole_rad),
        "RIG_PULL_COUPLED": _float(numbers.coupled),
        "RIG_PULL_LEVEL": _float(numbers.level),
        **_hidden(rig),
    }


def _hidden(rig: RigConstants) -> dict[str, str]:
    """Return the macros of what turns the pole besides the base's jerks, as counts of such a jerk:
    gravity, and an arm's speed of one count a tick."""
    numbers, period_s, unit = rig.pole_pull, rig.period_us * 1e-6, rig.base_unit
    gravity = numbers.push / LEAST_PUSH_G  # g at the hinge, in the base's unit
    # Travel of the base that turns the pole by a radian. A cart's pole may be as long as any.
    least_fall = numbers.fall / _PULL_MARGIN if numbers.level else min(numbers.fall, HEAVIEST.fall)
    length = gravity / least_fall if least_fall else 0.0
    return {
        "RIG_GRAVITY": _float(gravity * period_s**2 / unit),
        "RIG_WHIRL": _float(gravity / numbers.fall * unit if numbers.level else 0.0),
        "RIG_POLE_COUNT_TRAVEL": _float(length * rig.pole_rad / unit),
    }


def _duties(rig: RigConstants) -> dict[str, str]:
    """Return the macros of the duties that a policy chooses among; a firmware of any other rig has
    none."""
    if not rig.duties:
        return {}
    duties = ", ".join(_float(duty) for duty in rig.duties)
    return {"RIG_DUTIES": f"{{ {duties} }}", "RIG_DUTY_COUNT": str(len(rig.duties))}


def most_link_ticks(period_us: int) -> int:
    """Return the largest number of ticks without a message that a host may set."""
    return max(3, math.ceil(_LINK_MOST_S * 1e6 / period_us))


def watchdog_us(period_us: int) -> int:
    """Return the longest time that a board's watchdog waits for the next control tick, in us."""
    return max(round(_WATCHDOG_S * 1e6), _WATCHDOG_TICKS * period_us)


def clock_ticks(period_us: int) -> int:
    """Return over how many ticks a board compares its two clocks."""
    return max(_CLOCK_TICKS, math.ceil(_CLOCK_S * 1e6 / period_us))


def rig_digest(rig: RigConstants) -> bytes:
    """Return the rig's digest in HELLO and CONFIG: the first bytes of a SHA-256 over the constants
    that the firmware is built with for it (scales, limits, thresholds, the pole's pull) and over
    the code that compares with them, so that no board stops a motor by other rules than its host
    believes."""
    text = _guards_code() + _lines(constant_macros(rig))
    return hashlib.sha256(text.encode()).digest()[:RIG_DIGEST_BYTES]


def firmware_version() -> str:
    """Return the version that a board tells in HELLO: the package's and, behind a +, that of the
    guards: of their code, and of how their constants follow from a rig's."""
    probe = RigConstants(0.01, 0.01, 1.0, 10_000, 1.0, 10.0, 10.0, telling_acceleration=1.0)
    guards = hashlib.sha256((_guards_code() + _lines(constant_macros(probe))).encode())
    return f"{metadata.version('sparsectl')[:8]}+{guards.hexdigest()[:6]}"


def _lines(macros: dict[str, str]) -> str:
    return "".join(f"{name} {macros[name]}\n" for name in sorted(macros))


@cache
def _guards_code() -> str:
    """Return the C of `GUARDS`, one line a file. Comments and layout do not count: what the
    compiler does not see asks nobody to flash again."""
    core = Path(__file__).parent / "firmware" / "core"
    sources = [core / f"{name}.{kind}" for name in GUARDS for kind in ("c", "h")]
    return "".join(f"{_without_comments(path.read_text('utf-8'))}\n" for path in sources)


def _without_comments(c: str) -> str:
    """Return C without comments and with single spaces; the guards hold no text in quotes that
    could be taken for either."""
    return " ".join(re.sub(r"/\*.*?\*/|//[^\n]*", " ", c, flags=re.DOTALL).split())


def reported_by_rig(rig: RigConstants) -> dict[str, int]:
    """Return the fields of the message RIG, as a firmware of this rig fills them."""
    macros = {**_rig(rig), **_safety(rig)}
    names = {
        "current_limit_ma": "RIG_CURRENT_LIMIT_MA",
        "telling_jerk": "RIG_TELLING_JERK_COUNTS",
        "pole_sense": "RIG_POLE_SENSE",
        "watchdog_us": "SAFETY_WATCHDOG_US",
        "limit_switches": "RIG_LIMIT_SWITCHES",
    }
    return {field: int(macros[macro].rstrip("u")) for field, macro in names.items()}


def _safety(rig: RigConstants) -> dict[str, str]:
    def ticks(seconds: float) -> str:
        return f"{math.ceil(seconds * 1e6 / rig.period_us)}u"

    def counts(speed: float, unit: float) -> str:
        return str(math.ceil(speed * rig.period_us * 1e-6 / unit))

    def at_least_three(seconds: float) -> str:
        return f"{max(3, math.ceil(seconds * 1e6 / rig.period_us))}u"

    travel = math.ceil(rig.base_limit * STUCK_TRAVEL / rig.base_unit)
    return {
        "SAFETY_STILL_TICKS": ticks(_STILL_S),
        "SAFETY_HOMING_TICKS": ticks(_HOMING_S),
        "SAFETY_REST_TICKS": ticks(_REST_S),
        "SAFETY_STOPPING_TICKS": ticks(_STOPPING_S),
        "SAFETY_STUCK_TICKS": ticks(_STUCK_S),
        "SAFETY_BASE_STOP_COUNTS": counts(_BASE_STOP * rig.base_rate_limit, rig.base_unit),
        "SAFETY_POLE_STOP_COUNTS": counts(_POLE_STOP * rig.pole_rate_limit, rig.pole_rad),
        "SAFETY_STUCK_DUTY": _float(rig.max_duty * STUCK_DUTY),
        "SAFETY_TELLING_DUTY": _float(rig.max_duty * _TELLING_DUTY),
        "SAFETY_STUCK_TRAVEL_COUNTS": str(travel),
        "SAFETY_LINK_TICKS": f"{LINK_TIMEOUT_TICKS}u",
        "SAFETY_LINK_MOST_TICKS": f"{most_link_ticks(rig.period_us)}u",
        "SAFETY_COMMAND_TICKS": f"{COMMAND_TICKS}u",
        "SAFETY_OVERRUN_TICKS": at_least_three(_OVERRUN_S),
        "SAFETY_WATCHDOG_US": f"{watchdog_us(rig.period_us)}u",
        "SAFETY_CLOCK_TICKS": f"{clock_ticks(rig.period_us)}u",
    }


def _telling_jerk(rig: RigConstants) -> int:
    """Return the counts by which two steps of the base must differ; the largest int32 means
    never."""
    if rig.telling_acceleration == math.inf:
        return 2**31 - 1
    return math.ceil(rig.telling_acceleration * (rig.period_us * 1e-6) ** 2 / rig.base_unit)


def _float(value: float) -> str:
    """Format a float with enough digits for every bit.

    Nine digits of a double may lie on the other side of the middle between two floats, so that the
    compiler would take the other one.
    """
    text = f"{value:.9g}"
    if float32(float(text)) != float32(value):
        text = f"{float32(value):.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
