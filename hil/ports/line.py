"""Ports of boards that are already connected: a serial device, or a URL that pyserial opens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sparsectl.hil.ports.port import OpenPort, PortRequest


class Line:
    """See `PortKind`."""

    has_virtual_clock = False
    builds = False
    has_rig = True

    def claims(self, port: str) -> bool:
        """Claim everything; pyserial refuses what is neither a device nor a URL, with the system's
        reason."""
        return True

    @contextmanager
    def open(self, request: PortRequest) -> Iterator[OpenPort]:
        """Yield the port as it is; there is nothing to prepare."""
        yield OpenPort(request.port)
