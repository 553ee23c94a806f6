"""Policies, exported for real, and trials of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from sparsectl.hil.config import TrialConfig
from tests.hil.policies import EASY_POLICY, export_graph, export_into, timid_graph


@pytest.fixture(scope="session")
def timid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an exported policy that leaves the pole hanging."""
    return export_graph(timid_graph(), tmp_path_factory.mktemp("timid") / "policies")


@pytest.fixture(scope="session")
def easy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an exported policy that swings up and balances on the easy rig."""
    return export_into(EASY_POLICY, tmp_path_factory.mktemp("easy") / "policy")


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the virtual rig's firmware, built once."""
    return tmp_path_factory.mktemp("firmware")


@pytest.fixture
def short(timid: Path, firmware: Path, tmp_path: Path) -> Callable[..., TrialConfig]:
    """Configs of a trial of the timid policy that gives the swing-up up after 1 s; lockstep on the
    virtual rig."""

    def config(**changes: Any) -> TrialConfig:
        fields: dict[str, Any] = {
            "policy": timid,
            "clock": "realtime" if "port" in changes else "lockstep",
            "seconds": 1.0,
            "swing_up_limit_s": 1.0,
            "out": tmp_path / "trial",
            "firmware": firmware,
            "report": False,
        }
        return TrialConfig(**{**fields, **changes})

    return config


@pytest.fixture
def cached_compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compilers that a confinement keeps from the cache would compile the core for each replay.
    That they are confined, and that a replay then agrees, is in replay/test_confinement.py."""
    monkeypatch.setattr("sparsectl.hil.replay.replay.confined_compilers", nullcontext)
