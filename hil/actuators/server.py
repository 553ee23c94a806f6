"""The process that connects the firmware to an actuator, as the plant's server connects it to a
plant.

It answers each request of the firmware and does nothing by itself. If the firmware hangs or is
gone, nothing feeds the hardware's watchdog any more; when this process ends, it turns the motor off
first; if it is killed, the watchdog does.
"""

from __future__ import annotations

import signal
import socket
import sys
from dataclasses import dataclass
from types import FrameType

from sparsectl.common.errors import UserError
from sparsectl.hil.actuators import ACTUATORS
from sparsectl.hil.simulation.plant_server import READY, serve
from sparsectl.plants.rig import load_rig


@dataclass(frozen=True)
class ActuatorStart:
    """The actuator to connect, and the rig that it drives."""

    kind: str
    """One of `ACTUATORS`."""
    address: str
    rig: str
    """Name or TOML file."""

    @property
    def what(self) -> str:
        """Description for a message."""
        return f"the {self.kind} actuator"

    def command(self, descriptor: int) -> list[str]:
        """Return the command that runs the actuator's process on an inherited socket."""
        words = [str(descriptor), self.kind, self.address, self.rig]
        return [sys.executable, "-m", "sparsectl.hil.actuators.server", *words]


def main() -> None:
    """Serve on the descriptor, with the actuator and for the rig that the command line names."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trial ends this process, in its own order
    signal.signal(signal.SIGTERM, _end)
    channel = socket.socket(fileno=int(sys.argv[1]))
    kind, address, rig = sys.argv[2:]
    try:
        actuator = ACTUATORS[kind](address, load_rig(rig))
        try:
            print(READY, flush=True)
            serve(actuator, channel)
        finally:
            actuator.close()
    except UserError as error:
        print(f"sparsectl {kind}: {error}", file=sys.stderr)
        sys.exit(2)


def _end(number: int, frame: FrameType | None) -> None:
    """Handle a signal like the end of the firmware: turn the motor off and exit."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
