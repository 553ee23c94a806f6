"""Compute the share of the serial line that a control tick's frames take, so that a slow line is
not mistaken for a bad cable."""

from __future__ import annotations

from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.hil.config import Mode
from sparsectl.protocol.wire import MESSAGES

BITS_A_BYTE: Final = 10
"""Bits on the line per byte: start bit, eight data bits, stop bit."""
AROUND_BYTES: Final = 11
"""Bytes of a frame besides its payload: type, flags, sequence, CRC-32, one byte of stuffing, two
delimiters."""
USUAL_BAUDS: Final = (57_600, 115_200, 230_400, 460_800, 921_600, 2_000_000)

_TO_HOST: Final[dict[Mode, tuple[str, ...]]] = {
    "device": ("TICK", "TIMESYNC"),
    "host": ("OBSERVATION", "TICK", "TIMESYNC"),
    "pil": ("PLANT_ACT",),
}
_TO_BOARD: Final[dict[Mode, tuple[str, ...]]] = {
    "device": ("TIMESYNC",),
    "host": ("COMMAND", "TIMESYNC"),
    "pil": ("PLANT_STEP",),
}
_MESSAGES = {message.name: message for message in MESSAGES}


def tick_bytes(mode: Mode) -> int:
    """Return the bytes of one control tick in the busier direction."""
    to_host = [_MESSAGES[name].to_host or () for name in _TO_HOST[mode]]
    to_board = [_MESSAGES[name].to_board or () for name in _TO_BOARD[mode]]
    return max(
        sum(AROUND_BYTES + sum(field.size for field in fields) for fields in way)
        for way in (to_host, to_board)
    )


def line_share(mode: Mode, baud: int, period_s: float) -> float:
    """Return the share of each control period in which the line is busy."""
    return tick_bytes(mode) * BITS_A_BYTE / baud / period_s


def check_line(mode: Mode, baud: int, period_s: float) -> None:
    """Check that a tick's frames fit into its period.

    Raises:
        UserError: they do not fit.
    """
    share = line_share(mode, baud, period_s)
    if share < 1.0:
        return
    takes_ms = share * period_s * 1e3
    enough = [each for each in USUAL_BAUDS if line_share(mode, each, period_s) < 1.0]
    mend = f"use --baud {enough[0]} or more" if enough else "use a longer control period"
    raise UserError(
        f"the line runs at {baud} baud, at which the {tick_bytes(mode)} bytes of a tick in {mode} "
        f"mode take {takes_ms:.1f} ms of its {period_s * 1e3:g} ms; {mend}, on the board as here"
    )
