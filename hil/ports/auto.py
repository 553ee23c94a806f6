"""`--port auto`: the serial port whose board holds the trial's policy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sparsectl.hil.link.discovery import find_board_with, find_boards, serial_ports
from sparsectl.hil.ports.port import OpenPort, PortRequest

NAME = "auto"


class Auto:
    """See `PortKind`."""

    has_virtual_clock = False
    builds = False
    has_rig = True

    def claims(self, port: str) -> bool:
        """Return whether `port` is the word auto."""
        return port == NAME

    @contextmanager
    def open(self, request: PortRequest) -> Iterator[OpenPort]:
        """Ask around.

        Raises:
            UserError: no board holds the policy, or several do.
        """
        digest = None if request.mode == "host" else request.digest
        found = find_board_with(digest, find_boards(serial_ports()))
        yield OpenPort(found.port, {"baud": found.baud}, found.baud)
