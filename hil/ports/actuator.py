"""Ports with the firmware as a process on this machine, and a drive or an I/O card that moves the
rig behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.build import build_firmware
from sparsectl.hil.actuators import ACTUATORS
from sparsectl.hil.actuators.actuator import WATCHDOG_MOST_S
from sparsectl.hil.actuators.server import ActuatorStart
from sparsectl.hil.ports.port import OpenPort, PortRequest
from sparsectl.hil.simulation.virtual_rig import VirtualRig

SLOWEST_PERIOD_US = round(WATCHDOG_MOST_S * 1e6 / 2)
"""The watchdog is fed once per period; a single late period must not end the trial."""


class ActuatorPort:
    """See `PortKind`."""

    has_virtual_clock = False
    builds = True
    has_rig = True

    def claims(self, port: str) -> bool:
        """Return whether `port` names a drive: odrive:/dev/ttyACM0, simplefoc:/dev/ttyACM0,
        qube:0."""
        return port.partition(":")[0] in ACTUATORS and ":" in port

    @contextmanager
    def open(self, request: PortRequest) -> Iterator[OpenPort]:
        """Build the firmware and run it, with the actuator's process, while the context lasts.

        Raises:
            UserError: the mode is pil, which moves nothing, or the actuator is not available.
        """
        kind, _, address = request.port.partition(":")
        if request.plant is None:
            raise UserError(
                f"--mode is pil, which simulates the pendulum, but --port is {request.port}; use "
                "--mode device or host"
            )
        if request.rig.period_us > SLOWEST_PERIOD_US:
            raise UserError(
                f"the rig's period is {request.rig.period_us} us, too slow for the watchdog of "
                f"{kind}, 0.1 s; use at most {SLOWEST_PERIOD_US}"
            )
        built = build_firmware(request.policy, "host", request.rig, request.firmware)
        start = ActuatorStart(kind, address, request.plant.rig)
        with VirtualRig(Path(built["elf"]), "realtime", start, request.fifo) as rig:
            notes = {"actuator": kind, "virtual_rig_scheduling": rig.scheduling}
            yield OpenPort(rig.port, notes)
