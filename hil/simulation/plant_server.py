"""The simulated pendulum behind the virtual rig, in a process of its own.

It answers the firmware over a socket, little-endian: a request `{u64 time_ns, f32 duty}` means
"bring the plant to that time under the duty in force, then apply this one"; the answer is
`{i32 base_count, i32 pole_count, i32 current_ma, u32 lost_edges, u32 limit_switch}`: the motor's
current, what the encoders' decoder missed, and 1 where the base stands on a limit switch. Time
passes only by requests, so the firmware's clock rules.
"""

from __future__ import annotations

import math
import signal
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sparsectl.hil.faults.kinds import FaultSpec
from sparsectl.hil.faults.plant import FaultyPlant
from sparsectl.hil.simulation.miswired import MiswiredPlant, Wiring

if TYPE_CHECKING:
    from sparsectl.plants.plant import Plant


class AnyPlant(Protocol):
    """The interface of a plant: `plants.plant.Plant`, or one with a fault."""

    def advance(self, duration_s: float) -> None: ...

    def set_duty(self, duty: float) -> None: ...

    def counts(self) -> tuple[int, int]: ...

    def current_a(self) -> float | None: ...

    def limit_switch_open(self) -> bool: ...


REQUEST = struct.Struct("<Qf")
ANSWER = struct.Struct("<iiiII")
READY = "READY"


@dataclass(frozen=True)
class PlantStart:
    """The plant to simulate."""

    rig: str
    """Name or TOML file."""
    seed: int
    randomised: bool
    fault: FaultSpec | None = None
    """The fault that is injected."""
    wiring: Wiring = Wiring()
    """How its motor and encoders are connected."""

    @property
    def what(self) -> str:
        """Description for a message."""
        return "the simulated plant"

    def command(self, descriptor: int) -> list[str]:
        """Return the command that runs the plant's process on an inherited socket."""
        server = [sys.executable, "-m", "sparsectl.hil.simulation.plant_server", str(descriptor)]
        return server + self.arguments()

    def arguments(self) -> list[str]:
        """Return the arguments of a server that simulates this plant."""
        fault = "-" if self.fault is None else str(self.fault)
        return [self.rig, str(self.seed), str(int(self.randomised)), fault, str(self.wiring)]

    @classmethod
    def parse(cls, arguments: list[str]) -> PlantStart:
        """Parse what `arguments` returned."""
        rig, seed, randomised, fault, wiring = arguments
        spec = None if fault == "-" else FaultSpec.parse(fault)
        return cls(rig, int(seed), randomised == "1", spec, Wiring.parse(wiring))

    def make(self) -> Plant:
        """Make the plant at time 0, at rest as homing requires: base in the middle, pole hanging.

        Raises:
            UserError: no such rig, or its file is wrong.
        """
        from sparsectl.plants.plant import Plant
        from sparsectl.plants.rig import load_rig

        plant = Plant(load_rig(self.rig))
        plant.reset(self.seed, randomised=self.randomised)
        plant.hang()
        return plant


def serve(
    plant: AnyPlant, channel: socket.socket, note: Callable[[int, float], None] | None = None
) -> None:
    """Answer requests until the firmware closes its end; `note` receives each request's time in ns
    and duty."""
    now_ns: int | None = None
    while len(request := _receive(channel, REQUEST.size)) == REQUEST.size:
        time_ns, duty = REQUEST.unpack(request)
        if now_ns is not None and time_ns > now_ns:
            plant.advance((time_ns - now_ns) * 1e-9)
        now_ns = time_ns
        if note is not None:
            note(time_ns, duty)
        plant.set_duty(duty if math.isfinite(duty) else 0.0)
        counts = (_wrapped(count) for count in plant.counts())
        lost_edges = plant.lost_edges() if isinstance(plant, FaultyPlant) else 0
        current_ma, is_open = _milliamperes(plant.current_a()), plant.limit_switch_open()
        try:
            channel.sendall(ANSWER.pack(*counts, current_ma, lost_edges, is_open))
        except (BrokenPipeError, ConnectionResetError):
            return  # the firmware ended between its request and this answer


def _milliamperes(current_a: float | None) -> int:
    """Return the current in mA as the firmware takes it; one that is not measured is the least
    int32."""
    return -(2**31) if current_a is None else round(1000 * current_a)


def _wrapped(count: int) -> int:
    """Wrap the count as a 32-bit counter does."""
    return (count + 2**31) % 2**32 - 2**31


def _receive(channel: socket.socket, size: int) -> bytes:
    """Receive `size` bytes, or fewer if the other end has closed."""
    received = b""
    while len(received) < size:
        try:
            part = channel.recv(size - len(received))
        except ConnectionResetError:
            break
        if not part:
            break
        received += part
    return received


def main() -> None:
    """Serve the plant on the descriptor that the command line names."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trial ends this process, in its own order
    channel = socket.socket(fileno=int(sys.argv[1]))
    start = PlantStart.parse(sys.argv[2:])
    start.make().advance(1e-3)  # MuJoCo's first step takes its time
    plant: AnyPlant = start.make()
    if start.fault is not None:
        plant = FaultyPlant(start.make(), start.fault)
    if start.wiring != Wiring():
        plant = MiswiredPlant(plant, start.wiring)
    print(READY, flush=True)
    serve(plant, channel)


if __name__ == "__main__":
    main()
