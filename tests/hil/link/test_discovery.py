"""Boards are found by HELLO: the real firmware on a pty, and what is no board."""

from __future__ import annotations

import os
import pty
import tty
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sparsectl.command_line.config import DoctorConfig
from sparsectl.commands.doctor import doctor
from sparsectl.common.errors import UserError
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.link import discovery as finder
from sparsectl.hil.link.discovery import (
    SKIP_VARIABLE,
    Found,
    find_board_with,
    find_boards,
    serial_ports,
)
from sparsectl.hil.planning.plan import make_plan
from sparsectl.hil.trial.trial import run_trial


@pytest.fixture(scope="module")
def board(timid: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The pty of the firmware with the timid policy, in real time, its pendulum behind it."""
    plan = make_plan(TrialConfig(timid, out=tmp_path_factory.mktemp("finder") / "rig"))
    with plan.port_kind.open(plan.port_request()) as port:
        held = os.open(port.address, os.O_RDWR | os.O_NOCTTY)  # a pty ends with its last user
        yield port.address
        os.close(held)


@pytest.fixture
def silent() -> Iterator[str]:
    """A port behind which nothing answers."""
    far, near = pty.openpty()
    tty.setraw(near)
    yield os.ttyname(near)
    os.close(far)
    os.close(near)


def test_a_board_is_found_among_ports_that_are_none(
    board: str, silent: str, timid: Path, tmp_path: Path
) -> None:
    missing = "/dev/ttyACM77"
    found = find_boards([silent, board, missing], patience_s=0.5)
    assert [each.port for each in found] == [silent, board, missing]
    assert (found[0].hello, found[0].why) == (None, "no board answers HELLO")
    assert found[1].speaks and found[1].digest == digest_of(timid, tmp_path)
    assert str(found[1]).startswith("host, policy ") and "SAFE" in str(found[1])
    assert "no port /dev/ttyACM77" in str(found[2])


def digest_of(policy: Path, tmp_path: Path) -> str:
    return make_plan(TrialConfig(policy, out=tmp_path / "plan")).graph.digest


def test_doctor_lists_who_answered_where(board: str, silent: str) -> None:
    skipped = tuple(serial_ports())  # the machine's own are none of this test's business
    result = doctor(DoctorConfig(skip=skipped, ask=(board,)))
    rows = {check["name"]: check["found"] for check in result["checks"]}
    assert rows[f"port {board}"].startswith("host, policy ")
    asked_none = doctor(DoctorConfig(boards=False, ask=(board,)))
    assert f"port {board}" not in {check["name"] for check in asked_none["checks"]}


def test_auto_runs_on_the_board_with_the_policy(
    board: str, silent: str, timid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparsectl.hil.ports.auto.serial_ports", lambda: [silent, board])
    config = TrialConfig(
        timid, port="auto", swing_up_limit_s=0.5, link_timeout_ticks=10, out=tmp_path / "trial"
    )
    result = run_trial(replace(config, report=False))
    assert result["ended"] == "the pole was not up within 0.5 s"
    assert result["board"] == "host" and result["clock"] == "realtime"


def test_auto_says_what_it_found_instead() -> None:
    hello = {"protocol_hash": finder.PROTOCOL_HASH, "policy_digest": b"\x12" * 32}
    hello |= {"board": "microbit", "state": 1}
    one, two = Found("/dev/a", hello, 115200), Found("/dev/b", hello, 115200)
    foreign = Found("/dev/c", {"protocol_hash": 1}, 115200)
    assert find_board_with("12" * 32, [foreign, one]) is one
    assert find_board_with(None, [foreign, one]) is one
    with pytest.raises(UserError, match="finds 2 boards that fit: /dev/a, /dev/b; name one"):
        find_board_with("12" * 32, [one, two])
    with pytest.raises(UserError, match="no board with policy abababababab .*/dev/c: .* another"):
        find_board_with("ab" * 32, [one, foreign])
    with pytest.raises(UserError, match="there is no serial port"):
        find_board_with("ab" * 32, [])


def test_a_port_that_must_not_be_touched_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Listed:
        def __init__(self, device: str) -> None:
            self.device = device

    ports = [Listed(name) for name in ("/dev/ttyUSB1", "/dev/ttyACM0", "/dev/ttyUSB0")]
    monkeypatch.setattr(finder.list_ports, "comports", lambda: ports)
    assert serial_ports() == ["/dev/ttyACM0", "/dev/ttyUSB0", "/dev/ttyUSB1"]
    assert serial_ports(["/dev/ttyUSB*"]) == ["/dev/ttyACM0"]
    monkeypatch.setenv(SKIP_VARIABLE, "/dev/ttyACM0,*USB1")
    assert serial_ports() == ["/dev/ttyUSB0"]
