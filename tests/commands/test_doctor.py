"""The doctor's advice fits how sparsectl was installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsectl.command_line.config import DoctorConfig
from sparsectl.commands import doctor
from sparsectl.firmware_host.boards import BOARDS
from sparsectl.firmware_host.tools import TOOLS


@pytest.mark.parametrize(
    ("checkout", "command"),
    [(None, "pip install 'sparsectl[train]'"), (Path("/a b"), "pip install -e '/a b[train]'")],
)
def test_what_lacks_is_installed_as_sparsectl_was(
    checkout: Path | None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "CHECKOUT", checkout)
    monkeypatch.setattr(doctor, "_version", lambda package: None)
    checks = {c["name"]: c for c in doctor.doctor(DoctorConfig(boards=False))["checks"]}
    assert checks["torch"]["mend"] == command
    assert checks["torch"]["found"] is None


def test_here_is_a_checkout() -> None:
    assert doctor.CHECKOUT == Path(__file__).parents[2]


def test_another_system_is_told_what_works_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    [check] = [
        c for c in doctor.doctor(DoctorConfig(boards=False))["checks"] if c["name"] == "system"
    ]
    assert "need Linux" in check["found"]


def test_emulators_programmers_and_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a board in the registry needs has a line, and one that lacks has its package."""
    monkeypatch.setattr("shutil.which", lambda name: None)
    checks = {c["name"]: c for c in doctor.doctor(DoctorConfig(boards=False))["checks"]}
    for name, board in BOARDS.items():
        for tool in board.emulator.tools if board.emulator else ():
            assert name in checks[f"emulator {tool}"]["serves"]
        for tool in board.programmer.tools if board.programmer else ():
            assert name in checks[f"programmer {tool}"]["serves"]
    assert checks["emulator simavr"]["mend"] == f"sudo apt install {TOOLS['simavr']}"
    assert checks["programmer avrdude"]["found"] is None
    assert {"mcap", "pyarrow", "minari", "nicegui", "sbx-rl"} <= checks.keys()
