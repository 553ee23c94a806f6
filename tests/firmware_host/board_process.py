"""The host port as a process, driven over its pty, with a small analytic plant behind it."""

from __future__ import annotations

import math
import os
import select
import socket
import struct
import subprocess
import termios
import threading
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sparsectl.protocol.wire import Decoder, Frame, encode, fields_to_board

PATIENCE_S = 20.0


class Plant:
    """A cart-pole by explicit Euler steps of 0.5 ms: hangs at rest, a count is 9e-5 m, 1/4170 turn.

    `requests` keeps what the firmware sent: (time_ns, duty).
    """

    GRAVITY, LENGTH, FORCE, MASS, FRICTION = 9.81, 0.26, 1.77, 0.3, 3.2

    def __init__(self) -> None:
        self.position = self.speed = self.pole = self.pole_speed = 0.0
        self.requests: list[tuple[int, float]] = []
        self.stuck = False
        self.current_ma = -(2**31)  # no such sensor
        self._time_ns = 0
        self._duty = 0.0

    def exchange(self, time_ns: int, duty: float) -> tuple[int, int]:
        """Advance to `time_ns`, then apply `duty`; gives both counts."""
        while self._time_ns + 500_000 <= time_ns:
            self._step(5e-4)
            self._time_ns += 500_000
        self._duty = duty
        self.requests.append((time_ns, duty))
        return self.counts()

    def counts(self) -> tuple[int, int]:
        """Base and pole counts; pole 0 hangs."""
        turn = self.pole / (2 * math.pi) * 4170
        return math.floor(self.position / 9e-5), math.floor(turn + 0.5)

    def _step(self, dt: float) -> None:
        force = self.FORCE * self._duty - self.FRICTION * self.speed
        push = 0.0 if self.stuck else force / self.MASS
        swing = -(self.GRAVITY * math.sin(self.pole) + push * math.cos(self.pole)) / self.LENGTH
        self.speed = 0.0 if self.stuck else self.speed + push * dt
        self.position += self.speed * dt
        self.pole_speed += swing * dt
        self.pole += self.pole_speed * dt


class BoardProcess:
    """Runs the firmware and speaks the wire to it; a context manager."""

    def __init__(self, elf: Path, *options: str, plant: Plant | None = None) -> None:
        self.command = [str(elf), *options]
        self.plant = plant
        self.frames: list[Frame] = []
        """All frames received, in order."""
        self.sequence = 0
        self._waited = 0

    def __enter__(self) -> Self:
        descriptors: tuple[int, ...] = ()
        theirs = None
        if self.plant is not None:
            self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            descriptors = (theirs.fileno(),)
            self.command += ["--plant-fd", str(theirs.fileno())]
        self.process = subprocess.Popen(
            self.command,
            pass_fds=descriptors,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if theirs is not None:
            theirs.close()
            self._server = threading.Thread(target=self._serve, daemon=True)
            self._server.start()
        assert self.process.stdout is not None
        word, self.path = self.process.stdout.readline().split()
        assert word == "PTY"
        self.fd: int | None = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        self.raw = not termios.tcgetattr(self.fd)[3] & termios.ECHO
        tty.setraw(self.fd)
        self.decoder = Decoder()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        if kind is not None:
            self.process.kill()
        self.finish()

    def close(self) -> None:
        """Close the serial port."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def finish(self) -> tuple[int, str]:
        """Wait for the end of the process; gives its code and what it wrote to stderr."""
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        if self.plant is not None:
            self._server.join(PATIENCE_S)
            self._ours.close()
        return self.process.returncode, errors

    def _serve(self) -> None:
        assert self.plant is not None
        try:
            while request := self._ours.recv(12):
                time_ns, duty = struct.unpack("<Qf", request)
                counts = self.plant.exchange(time_ns, duty)
                self._ours.sendall(struct.pack("<iiiII", *counts, self.plant.current_ma, 0, 0))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def send(self, name: str, **values: Any) -> int:
        """Send one message; gives its sequence."""
        assert self.fd is not None
        sequence = self.sequence
        self.sequence += 1
        os.write(self.fd, encode(name, sequence, **values))
        return sequence

    def write(self, data: bytes) -> None:
        """Send bytes that need not be a frame."""
        assert self.fd is not None
        os.write(self.fd, data)

    def wait_for(self, wanted: Callable[[Frame], bool]) -> Frame:
        """Give the next such frame that was not waited past yet; all are kept in `frames`."""
        assert self.fd is not None
        while True:
            while self._waited < len(self.frames):
                frame = self.frames[self._waited]
                self._waited += 1
                if wanted(frame):
                    return frame
            ready, _, _ = select.select([self.fd], [], [], PATIENCE_S)
            assert ready, f"the firmware is silent; last heard: {self.frames[-3:]}"
            self.frames += self.decoder.feed(os.read(self.fd, 4096))

    def ask(self, name: str, **values: Any) -> Frame:
        """Send a request and give its answer: ACK, NACK or the message of the same name."""
        if name == "STEP":
            self.send("TIMESYNC", host_time_ns=0)  # a sign of life, which STEP is none
        sequence = self.send(name, **values)

        def answers(frame: Frame) -> bool:
            if frame.name in ("ACK", "NACK"):
                return bool(frame["echo_sequence"] == sequence & 0xFFFF)
            return frame.name == {"PLANT_STEP": "PLANT_ACT"}.get(name, name)

        return self.wait_for(answers)

    def configure(self, **changes: Any) -> Frame:
        """Send what HELLO says back as CONFIG, with `changes`; gives the verdict."""
        hello = self.ask("HELLO")
        fields = {name: hello[name] for name in fields_to_board("CONFIG")}
        fields["link_timeout_ticks"] = 3
        return self.ask("CONFIG", **(fields | changes))

    def named(self, name: str) -> list[Frame]:
        """Frames of one message received so far."""
        return [frame for frame in self.frames if frame.name == name]
