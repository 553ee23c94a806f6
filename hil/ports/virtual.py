"""The virtual rig: the firmware as a process on this machine, with a simulated pendulum."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sparsectl.firmware_host.build import build_firmware
from sparsectl.hil.ports.port import OpenPort, PortRequest
from sparsectl.hil.simulation.virtual_rig import VirtualRig

NAME = "virtual"


class Virtual:
    """See `PortKind`."""

    has_virtual_clock = True
    builds = True
    has_rig = False

    def claims(self, port: str) -> bool:
        """Return whether `port` is the word virtual."""
        return port == NAME

    @contextmanager
    def open(self, request: PortRequest) -> Iterator[OpenPort]:
        """Build the firmware, and run it for as long as the context lasts."""
        built = build_firmware(request.policy, "host", request.rig, request.firmware)
        elf = Path(built["elf"])
        with VirtualRig(elf, request.clock, request.plant, request.fifo, request.line) as rig:
            yield OpenPort(rig.port, {"virtual_rig_scheduling": rig.scheduling})
