"""Find boards: send HELLO to all serial ports at once, for a short time.

Another device receives a few bytes that mean nothing to it. Opening a port can reset the device
behind it, though, so ports that must not be touched can be listed in `SPARSECTL_SKIP_PORTS`
(separated by commas, shell patterns allowed) or with `doctor --skip`.
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
from sparsectl.protocol.client import ECHO_ADVICE, Client
from sparsectl.protocol.modem_lines import BOOT_LOADER_S
from sparsectl.protocol.wire import PROTOCOL_HASH, State

SKIP_VARIABLE: Final = "SPARSECTL_SKIP_PORTS"
PATIENCE_S: Final = 2.5
"""How long to ask; a board that opening the port has reset needs additional time."""
ASK_EVERY_S: Final = 0.25
MOST_AT_ONCE: Final = 16
NO_ANSWER: Final = "no board answers HELLO"


@dataclass(frozen=True)
class Found:
    """A port and the board that answered on it."""

    port: str
    hello: dict[str, Any] | None
    """The fields of the board's HELLO; None: none answered."""
    baud: int = 0
    why: str = ""
    """Reason why there is no answer."""

    @property
    def speaks(self) -> bool:
        """Return whether the board speaks this version's protocol."""
        return self.hello is not None and self.hello["protocol_hash"] == PROTOCOL_HASH

    @property
    def digest(self) -> str:
        """Digest of the board's policy, 64 hex digits; empty if it is not known."""
        return self.hello["policy_digest"].hex() if self.hello and self.speaks else ""

    def __str__(self) -> str:
        if self.hello is None:
            return self.why
        if not self.speaks:
            return "a sparsectl board of another version: build and flash it again"
        state = State(self.hello["state"]).name
        return f"{self.hello['board']}, policy {self.digest[:12]}, {state}, {self.baud} baud"


def serial_ports(skip: Iterable[str] = ()) -> list[str]:
    """Return the device paths of the machine's serial ports, except those that must not be
    touched."""
    patterns = (*skip, *filter(None, os.environ.get(SKIP_VARIABLE, "").split(",")))
    found = sorted(port.device for port in list_ports.comports())
    return [port for port in found if not any(fnmatch.fnmatch(port, each) for each in patterns)]


def speeds(baud: int | None = None) -> list[int]:
    """Return the speed that was given, or those of all boards in the registry."""
    return [baud] if baud else sorted({board.baud for board in BOARDS.values()}, reverse=True)


def find_boards(
    ports: Sequence[str], baud: int | None = None, patience_s: float = PATIENCE_S
) -> list[Found]:
    """Send HELLO to each of `ports`; return for each, in order, the board that answered or why none
    did."""
    with ThreadPoolExecutor(max_workers=MOST_AT_ONCE) as pool:
        return list(pool.map(lambda port: _ask(port, baud, patience_s), ports))


def find_board_with(digest: str | None, found: Sequence[Found]) -> Found:
    """Return the one board that holds the policy; if `digest` is None, the one board.

    Raises:
        UserError: no board or several boards do; the message lists what was found.
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
    """Ask repeatedly, at each speed in turn: a booting board receives one of the last requests."""
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
    why = f"returns what is sent to it: {ECHO_ADVICE}" if client.hears_itself else NO_ANSWER
    return Found(client.port, None, why=why)
