"""The serial line under the link: opened by pyserial, then read and written through its file
descriptor.

pyserial knows ports, speeds and URLs, but its read takes two more system calls than `poll` and
`read` and cannot be woken. So if the opened port has a descriptor, that is used directly.
"""

from __future__ import annotations

import errno
import io
import math
import os
import select
import time
from pathlib import Path

import serial

from sparsectl.common.errors import UserError
from sparsectl.protocol.modem_lines import prepare

READ_TIMEOUT_S = 0.1
"""How often a port without a descriptor checks whether it has been closed."""
WRITE_TIMEOUT_S = 1.0
CHUNK = 4096


class LineStalled(OSError):
    """The other end no longer accepts bytes."""


class SerialLine:
    """An open port. One thread reads and one writes; any thread may stop the reading."""

    def __init__(self, port: str, baud: int) -> None:
        """Open it.

        Raises:
            UserError: no such port, no permission, in use by another program, or a speed it
                refuses.
        """
        self._serial = open_port(port, baud)
        self._descriptor = _descriptor(self._serial)
        self.may_boot = self._descriptor is not None and prepare(self._serial, self._descriptor)
        """True if opening the port may have reset the board, whose boot loader must then receive
        nothing."""
        self._woken, self._wake = os.pipe()
        self._input = select.poll()
        self._input.register(self._woken, select.POLLIN)
        if self._descriptor is not None:
            self._input.register(self._descriptor, select.POLLIN)

    def read(self, timeout_s: float | None = None) -> bytes:
        """Wait for bytes and return those that have arrived; return none after `timeout_s` or
        `stop`.

        Raises:
            OSError: the port is gone.
        """
        if self._descriptor is None:
            return self._read_slowly(timeout_s)
        ready = self._input.poll(None if timeout_s is None else timeout_s * 1000)
        if not ready or ready[0][0] == self._woken:
            return b""
        try:
            content = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return self.read(timeout_s)
        if not content:
            raise OSError(errno.EIO, "hang-up")
        return content

    def write(self, content: bytes) -> None:
        """Write all bytes.

        Raises:
            LineStalled: the line has accepted nothing for `WRITE_TIMEOUT_S`.
            OSError: the port is gone.
        """
        if self._descriptor is None:
            self._serial.write(content)
            return
        try:
            sent = os.write(self._descriptor, content)
        except BlockingIOError:
            sent = 0
        if sent < len(content):
            self._write_patiently(content[sent:], self._descriptor)

    def set_baud(self, baud: int) -> None:
        """Change the speed without closing the port, which would reset many boards."""
        self._serial.baudrate = baud

    def stop(self) -> None:
        """Make a waiting `read` return."""
        os.write(self._wake, b"x")

    def close(self) -> None:
        """Close the port; it must not be read or written afterwards."""
        self._serial.close()
        os.close(self._woken)
        os.close(self._wake)

    def _write_patiently(self, content: bytes, descriptor: int) -> None:
        output = select.poll()
        output.register(descriptor, select.POLLOUT)
        deadline_s = time.monotonic() + WRITE_TIMEOUT_S
        while content:
            if not output.poll(max(0.0, deadline_s - time.monotonic()) * 1000):
                raise LineStalled(errno.EAGAIN, "nothing is read any more")
            try:
                content = content[os.write(descriptor, content) :]
            except BlockingIOError:
                continue

    def _read_slowly(self, timeout_s: float | None) -> bytes:
        """Read from a port without a descriptor, such as rfc2217://."""
        deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while time.monotonic() <= deadline_s and not self._input.poll(0):
            first = bytes(self._serial.read(1))
            if first:
                return first + bytes(self._serial.read(self._serial.in_waiting))
        return b""


def open_port(port: str, baud: int) -> serial.SerialBase:
    """Open a serial port (device path, pty, socket:// or rfc2217://) for this process alone.

    Raises:
        UserError: no such port, no permission, in use by another program, or a speed it refuses.
    """
    try:
        opened = serial.serial_for_url(
            port,
            baudrate=baud,
            timeout=READ_TIMEOUT_S,
            exclusive=True if "://" not in port else None,
        )
    except (serial.SerialException, OSError, ValueError) as error:
        raise UserError(_why_not(port, baud, error)) from error
    opened.reset_input_buffer()  # what an earlier session left in the line is not ours
    return opened


def _descriptor(opened: serial.SerialBase) -> int | None:
    """Return the port's file descriptor; None if it has none."""
    try:
        return int(opened.fileno())
    except (AttributeError, io.UnsupportedOperation):
        return None


def _group(port: str) -> str:
    try:
        return Path(port).group()
    except (OSError, KeyError):
        return "dialout"


def _why_not(port: str, baud: int, error: Exception) -> str:
    text = str(error).replace("\n", " ")
    if "lock" in text or "Resource busy" in text or "Device or resource busy" in text:
        return f"port {port} is in use by another program; close it (a serial monitor?) and retry"
    if "No such file" in text:
        return (
            f"no port {port}; plug the board in and see `sparsectl doctor`, or use --port virtual"
        )
    if "Permission denied" in text:
        return (
            f"no permission for port {port}; join its group and log in again: "
            f"sudo usermod -aG {_group(port)} $USER"
        )
    return f"cannot open port {port} at {baud} baud: {text}"
