"""The virtual rig: the real firmware as a process, and a simulated pendulum behind it.

`VirtualRig` starts both and gives the path of the serial port that the firmware opened. It ends
only the processes that it started. Both ignore the terminal's Ctrl-C (a session of their own), so
that an interrupted trial can still stop the motor before the rig goes away.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from sparsectl.common.errors import UserError
from sparsectl.common.processes import bound, end
from sparsectl.hil.config import Clock
from sparsectl.hil.faults.kinds import FaultSpec
from sparsectl.hil.simulation.plant_server import READY
from sparsectl.hil.timing.scheduling import raise_priority

START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 2.0


class ServedRig(Protocol):
    """A process that serves the firmware's encoders and motor on an inherited socket."""

    @property
    def what(self) -> str:
        """Description for a message."""

    def command(self, descriptor: int) -> list[str]:
        """Return the command line of its process."""


@dataclass(frozen=True)
class LineStart:
    """The cable between host and firmware; by default there is none."""

    fault: FaultSpec | None = None
    """The fault of the line; None: there is none."""
    baud: int | None = None
    """Bits per second that it transmits; None: bytes pass at once."""

    def command(self, port: str, clock: Clock) -> list[str] | None:
        """Return the command that runs it in front of the firmware's `port`; None without a
        cable."""
        if self.fault is None and self.baud is None:
            return None
        fault = "-" if self.fault is None else str(self.fault)
        kind = "realtime" if clock == "realtime" else "virtual"
        words = [port, fault, kind, str(self.baud or 0)]
        return [sys.executable, "-m", "sparsectl.hil.faults.line", *words]


class VirtualRig:
    """Context manager around the firmware's process and the plant's."""

    def __init__(
        self,
        firmware: Path,
        clock: Clock,
        plant: ServedRig | None,
        fifo: bool = False,
        line: LineStart | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            firmware: the executable that the host board's build made.
            clock: how the firmware's time passes.
            plant: the pendulum, simulated or real; None leaves the encoders at rest (processor in
                the loop).
            fifo: ask for SCHED_FIFO.
            line: the cable, if it is to be slow or faulty.
        """
        self.line = line or LineStart()
        self.firmware, self.clock, self.plant, self.fifo = firmware, clock, plant, fifo
        self.port = ""
        self.scheduling = "ordinary"
        self._children: list[subprocess.Popen[str]] = []
        self._firmware: subprocess.Popen[str] | None = None

    def __enter__(self) -> VirtualRig:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def firmware_process(self) -> subprocess.Popen[str]:
        """Run the firmware; yield its process."""
        assert self._firmware is not None
        return self._firmware

    def _start(self) -> None:
        command = [str(self.firmware), "--clock", self.clock]
        if self.plant is None:
            self.port = self._start_firmware(command, ())
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs:
            command_line = self.plant.command(ours.fileno())
            server = self._start_child(command_line, (ours.fileno(),))
            if _first_line(server, self.plant.what) != READY:
                raise UserError(f"{self.plant.what} did not start; see its message above")
            command += ["--plant-fd", str(theirs.fileno())]
            self.port = self._start_firmware(command, (theirs.fileno(),))

    def _start_firmware(self, command: list[str], descriptors: tuple[int, ...]) -> str:
        self._firmware = self._start_child(command, descriptors)
        port = self._port_of(self._firmware, "the firmware")
        cable = self.line.command(port, self.clock)
        return self._port_of(self._start_child(cable, ()), "the cable") if cable else port

    def _port_of(self, child: subprocess.Popen[str], what: str) -> str:
        word, _, path = _first_line(child, what).partition(" ")
        if word != "PTY" or not path:
            raise UserError(f"{self.firmware} opened no port; build it again")
        return path

    def _start_child(
        self, command: list[str], descriptors: tuple[int, ...]
    ) -> subprocess.Popen[str]:
        try:
            child = subprocess.Popen(
                bound(command, "TERM"),  # an actuator's process then turns its motor off
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=descriptors,
                start_new_session=True,
            )
        except OSError as error:
            raise UserError(
                f"cannot start {command[0]}: {error.strerror}; build it again"
            ) from error
        self._children.append(child)
        self.scheduling = raise_priority(child.pid, self.fifo)
        return child

    def _end(self) -> None:
        """End the firmware first, so that the plant sees the end of its input."""
        for child in reversed(self._children):
            end(child)
            if child.stdout is not None:
                child.stdout.close()
        self._children.clear()


def _first_line(child: subprocess.Popen[str], what: str) -> str:
    assert child.stdout is not None
    stream: IO[str] = child.stdout
    ready, _, _ = select.select([stream], [], [], START_TIMEOUT_S)
    line = stream.readline().strip() if ready else ""
    if ready and not line:
        code = child.wait(END_TIMEOUT_S)
        raise UserError(f"{what} ended at once with code {code}; see its message above")
    return line
