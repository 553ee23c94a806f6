"""The doctor's advice fits how sparsectl was installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsectl.commands import doctor
from sparsectl.commands.config import DoctorConfig


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
    assert "want Linux" in check["found"]
