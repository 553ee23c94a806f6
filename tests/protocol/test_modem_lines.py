"""What is done to a real port; the one thing of it that a pty has are its settings."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from sparsectl.hil.link.discovery import find_boards
from sparsectl.protocol import modem_lines
from sparsectl.protocol.modem_lines import prepare
from sparsectl.protocol.serial_line import SerialLine


class Chip:
    """As pyserial's port, of a driver that knows no latency."""

    def set_low_latency_mode(self, low: bool) -> None:
        raise ValueError("no such thing")


@pytest.fixture
def near() -> Any:
    far, near = pty.openpty()
    yield near
    os.close(far)
    os.close(near)


def test_a_pty_has_no_line_that_resets(near: int) -> None:
    before = termios.tcgetattr(near)
    assert not prepare(Chip(), near)  # type: ignore[arg-type]
    assert termios.tcgetattr(near) == before
    assert not SerialLine(os.ttyname(near), 115_200).may_boot


def test_a_board_is_reset_by_the_first_opening_alone(
    near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: 0)  # the lines that a pty lacks
    settings = termios.tcgetattr(near)
    settings[2] |= termios.HUPCL
    termios.tcsetattr(near, termios.TCSANOW, settings)
    assert prepare(Chip(), near)  # type: ignore[arg-type]
    assert not termios.tcgetattr(near)[2] & termios.HUPCL
    assert not prepare(Chip(), near)  # type: ignore[arg-type]


def test_a_boot_loader_hears_nothing(near: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked once before it listens, and again only when it has gone."""
    monkeypatch.setattr("sparsectl.protocol.serial_line.prepare", lambda *_: True)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    find_boards([os.ttyname(near)], baud=115_200, patience_s=0.5)
    assert slept == [modem_lines.BOOT_LOADER_S]


def test_a_port_without_permission_names_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EACCES, "Permission denied", "/dev/null")

    monkeypatch.setattr("serial.serial_for_url", refuse)
    found = find_boards(["/dev/null"], baud=115_200)
    assert found[0].why.endswith(f"sudo usermod -aG {Path('/dev/null').group()} $USER")
