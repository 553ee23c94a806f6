"""The cable of the virtual rig: a pseudo terminal for the host, whose bytes are passed on to the
board's.

It can limit the baud rate and inject one line fault. It runs as a separate process (`python -m
hil.faults.line`), or in a thread. With a virtual clock, STEP and its ACK bypass the fault: they
drive the clock, and a damaged cable does not stop time.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
import time
import tty
from collections import deque
from typing import Final

from sparsectl.hil.faults.kinds import FaultSpec
from sparsectl.hil.faults.line_faults import WAYS, LineFault, Way, make_line_fault
from sparsectl.protocol.wire import MESSAGES, Frame, State, decode

_UNLOCK, _NUMBER = 0x40045431, 0x80045430  # TIOCSPTLCK, TIOCGPTN: not in the termios module
_STEP: Final = next(message.id for message in MESSAGES if message.name == "STEP")
_BITS_A_BYTE = 10
POLL_MS = 1
"""How often delayed bytes are checked."""


def open_pty() -> tuple[int, str]:
    """Return a raw pty master, and the path of its other end, which nothing has opened yet."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _UNLOCK, struct.pack("i", 0))
    (number,) = struct.unpack("i", fcntl.ioctl(master, _NUMBER, struct.pack("i", 0)))
    tty.setraw(master)
    return master, f"/dev/pts/{number}"


class Pace:
    """Passes bytes at a baud rate; times are in seconds."""

    def __init__(self, baud: int | None) -> None:
        self._byte_s = _BITS_A_BYTE / baud if baud else 0.0
        self._free_s = 0.0
        self._queue: deque[tuple[float, bytes]] = deque()

    def put(self, data: bytes, now_s: float) -> None:
        """Add bytes to send."""
        for byte in (data,) if not self._byte_s else (data[i : i + 1] for i in range(len(data))):
            self._free_s = max(self._free_s, now_s) + self._byte_s
            self._queue.append((self._free_s, byte))

    def get(self, now_s: float) -> bytes:
        """Return the bytes that have been sent by now."""
        out = []
        while self._queue and (self._queue[0][0] <= now_s or not self._byte_s):
            out.append(self._queue.popleft()[1])
        return b"".join(out)


class FaultyLine:
    """Passes bytes between a host and a board until either has closed."""

    def __init__(
        self, board: str, spec: FaultSpec | None, is_virtual: bool, baud: int | None = None
    ) -> None:
        """Open the board's port and one for the host.

        Args:
            board: path of the board's port.
            spec: the fault to inject; None: none.
            is_virtual: whether the board's clock is virtual.
            baud: speed of the line; None passes bytes at once.
        """
        self._board = os.open(board, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._board)
        self._host, self.address = open_pty()
        self._spec = spec
        self._fault = make_line_fault(spec) if spec else LineFault()
        self._is_virtual = is_virtual
        self._paces = {way: Pace(None if is_virtual else baud) for way in WAYS}
        self._open: dict[Way, bytes] = {way: b"" for way in WAYS}
        self.frames: list[Frame] = []
        """The board's ticks and states, whether they arrived or not."""
        self.keep_frames = False
        self.device_s = 0.0
        self.begun_s: float | None = None
        """Device time of the fault."""
        self._active_s: float | None = None

    def run(self) -> None:
        """Pass bytes on until one end closes."""
        try:
            while self._turn():
                pass
        except OSError:
            pass  # EIO: the other end of a pty has gone
        finally:
            self.close()

    def close(self) -> None:
        """Close both ends."""
        for descriptor in (self._board, self._host):
            os.close(descriptor)

    def _turn(self) -> bool:
        poller = select.poll()
        poller.register(self._board, select.POLLIN)
        poller.register(self._host, select.POLLIN)
        for descriptor, event in poller.poll(POLL_MS if self._holds() else 100):
            if not event & select.POLLIN:
                return False
            way: Way = "to_board" if descriptor == self._host else "to_host"
            self._take(way, os.read(descriptor, 4096))
        for way in WAYS:
            if self.begun_s is not None:
                self._paces[way].put(self._fault.release(way, self._fault_s()), time.monotonic())
            self._send(way, self._paces[way].get(time.monotonic()))
        return True

    def _holds(self) -> bool:
        return self.begun_s is not None or not self._is_virtual

    def _take(self, way: Way, data: bytes) -> None:
        *whole, rest = (self._open[way] + data).split(b"\x00")
        self._open[way] = rest if len(rest) < 4096 else b""
        for stuffed in whole:
            if stuffed:
                self._take_frame(way, stuffed)

    def _take_frame(self, way: Way, stuffed: bytes) -> None:
        frame = decode(stuffed)
        data = b"\x00" + stuffed + b"\x00"
        if frame is not None and way == "to_host":
            self._note(frame)
        if self._is_virtual and frame is not None and _is_clock(frame):
            self._send(way, self._paces[way].get(time.monotonic()) + data)  # in their order
            return
        if self.begun_s is not None:
            data = self._fault.take(way, data, self._fault_s())
        self._paces[way].put(data, time.monotonic())

    def _note(self, frame: Frame) -> None:
        """Learn the device's time and whether the motor runs; let the fault come when due."""
        if frame.name not in ("TICK", "OBSERVATION", "EVENT"):
            return
        if self.keep_frames:
            self.frames.append(frame)
        if frame.name == "EVENT":
            return
        self.device_s = frame["sample_time_us"] * 1e-6
        if self._active_s is None and frame["state"] == State.ACTIVE:
            self._active_s = self.device_s
        if self._spec and self.begun_s is None and self._active_s is not None:
            if self.device_s >= self._active_s + self._spec.after_s:
                self.begun_s = self.device_s

    def _fault_s(self) -> float:
        return self.device_s - (self.begun_s or 0.0)

    def _send(self, way: Way, data: bytes) -> None:
        descriptor = self._board if way == "to_board" else self._host
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:
                time.sleep(0.0005)


def _is_clock(frame: Frame) -> bool:
    if frame.name in ("ACK", "NACK"):
        return bool(frame["echo_type"] == _STEP)
    return frame.name == "STEP"


def main() -> None:
    """Print the pty and serve: `python -m sparsectl.hil.faults.line BOARD FAULT|- CLOCK BAUD|0`."""
    board, fault, clock, baud = sys.argv[1:]
    line = FaultyLine(
        board,
        None if fault == "-" else FaultSpec.parse(fault),
        clock == "virtual",
        int(baud) or None,
    )
    print(f"PTY {line.address}", flush=True)
    line.run()


if __name__ == "__main__":
    main()
