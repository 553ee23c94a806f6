"""Finds boards: asks HELLO on the serial ports that there are, all at once, for a short time.

What is no board of ours gets a few bytes that mean nothing to it. Opening a port can reset what is
behind it, though, so a port that must not be touched is named in `SPARSECTL_SKIP_PORTS` (split by
commas, shell patterns allowed) or by `doctor --skip`.
"""

from __future__ import annotations

import fnmatch
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from serial.tools import list_ports

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.boards import BOARDS
from sparsectl.protocol.client import Client
from sparsectl.protocol.modem_lines import BOOT_LOADER_S
from sparsectl.protocol.wire import PROTOCOL_HASH, State

SKIP_VARIABLE: Final = "SPARSECTL_SKIP_PORTS"
PATIENCE_S: Final = 2.5
"""Of asking; a board that opening the port has reset takes its time besides."""
ASK_EVERY_S: Final = 0.25
MOST_AT_ONCE: Final = 16


@dataclass(frozen=True)
class Found:
    """A port, and what answered on it."""

    port: str
    hello: dict[str, Any] | None
    """The fields of the board's HELLO; None where none answered."""
    baud: int = 0
    why: str = ""
    """Why there is no answer."""

    @property
    def speaks(self) -> bool:
        """Whether the board speaks this version's protocol."""
        return self.hello is not None and self.hello["protocol_hash"] == PROTOCOL_HASH

    @property
    def digest(self) -> str:
        """Of the board's policy, 64 hex digits; empty where it is not known."""
        return self.hello["policy_digest"].hex() if self.hello and self.speaks else ""

    def __str__(self) -> str:
        if self.hello is None:
            return self.why
        if not self.speaks:
            return "a sparsectl board of another version: build and flash it again"
        state = State(self.hello["state"]).name
        return f"{self.hello['board']}, policy {self.digest[:12]}, {state}, {self.baud} baud"


def serial_ports(skip: Iterable[str] = ()) -> list[str]:
    """Device paths of the machine's serial ports, without those that must not be touched."""
    patterns = (*skip, *filter(None, os.environ.get(SKIP_VARIABLE, "").split(",")))
    found = sorted(port.device for port in list_ports.comports())
    return [port for port in found if not any(fnmatch.fnmatch(port, each) for each in patterns)]


def speeds(baud: int | None = None) -> list[int]:
    """The one speed that is named, or those of all boards in the registry."""
    return [baud] if baud else sorted({board.baud for board in BOARDS.values()}, reverse=True)


def find_boards(
    ports: Sequence[str], baud: int | None = None, patience_s: float = PATIENCE_S
) -> list[Found]:
    """Ask HELLO on each of `ports`; what answered, or why none did, in their order."""
    with ThreadPoolExecutor(max_workers=MOST_AT_ONCE) as pool:
        return list(pool.map(lambda port: _ask(port, baud, patience_s), ports))


def find_board_with(digest: str | None, found: Sequence[Found]) -> Found:
    """The one board that holds the policy; None: that holds any.

    Raises:
        UserError: none does, or several do; the message says what there is.
    """
    holders = [each for each in found if each.speaks and digest in (None, each.digest)]
    if len(holders) == 1:
        return holders[0]
    if holders:
        named = ", ".join(each.port for each in holders)
        raise UserError(f"--port auto finds {len(holders)} boards that fit: {named}; name one")
    seen = "; ".join(f"{each.port}: {each}" for each in found) or "there is no serial port"
    raise UserError(
        f"--port auto finds no board{f' with policy {digest[:12]}' if digest else ''} ({seen}); "
        "build and flash it, or name the port"
    )


def _ask(port: str, baud: int | None, patience_s: float) -> Found:
    tried = speeds(baud)
    try:
        with Client(port, tried[0]) as client:
            return _greet(client, tried, patience_s)
    except UserError as error:
        return Found(port, None, why=str(error))
    except OSError as error:
        return Found(port, None, why=f"the port vanished: {error.strerror or error}")


def _greet(client: Client, tried: list[int], patience_s: float) -> Found:
    """Ask again and again, at each speed in turn: a board that boots hears one of the last."""
    for attempt in range(max(1, round(patience_s / ASK_EVERY_S))):
        if attempt == 1 and client.may_boot:
            time.sleep(BOOT_LOADER_S)  # what the boot loader heard would keep it
        speed = tried[attempt % len(tried)]
        if len(tried) > 1:
            client.set_baud(speed)
        client.send("HELLO")
        if frames := client.receive_until(lambda frame: frame.name == "HELLO", ASK_EVERY_S):
            hello = next(frame for frame in frames if frame.name == "HELLO")
            return Found(client.port, hello.values, speed)
    return Found(client.port, None, why="no board answers HELLO")
