"""A QUBE-Servo 2 by Quanser's C functions: a library with their signatures, and a rig behind it."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sparsectl.commands.trial import trial
from sparsectl.common.errors import UserError
from sparsectl.firmware_host.compiler import find_compiler
from sparsectl.firmware_host.cores.host import HOST
from sparsectl.hil.actuators import qube
from sparsectl.hil.actuators.qube import Qube
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.plants.rig import load_rig
from tests.hil.busy import in_real_time
from tests.hil.policies import export_graph, timid_graph

RIG = "qube_servo2"
SOURCE = Path(__file__).parent / "hil_card.c"


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that stands in for the SDK's."""
    path = tmp_path_factory.mktemp("sdk") / "libhil.so"
    flags = ("-std=gnu99", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
    command = [find_compiler(HOST), *flags, str(SOURCE), "-o", str(path), "-lm"]
    subprocess.run(command, check=True)
    return path


@pytest.fixture
def card(sdk: Path, monkeypatch: pytest.MonkeyPatch) -> ctypes.CDLL:
    """The same library as the port under test opens."""
    monkeypatch.setattr("ctypes.util.find_library", lambda name: str(sdk))
    library = ctypes.CDLL(str(sdk))
    library.card_volts.restype = ctypes.c_double
    library.card_pass.argtypes = [ctypes.c_double]
    return library


def test_a_duty_is_a_voltage_and_counts_come_from_both_encoders(card: ctypes.CDLL) -> None:
    rig = Qube("0", load_rig(RIG))
    assert card.card_volts() == 0.0 and rig.counts() == (0, 0)
    rig.set_duty(-0.25)
    assert card.card_volts() == pytest.approx(-2.5)
    current_a = rig.current_a()
    assert current_a is not None and current_a < -0.1
    card.card_pass(0.05)
    rig._read_s = -1.0
    arm, pendulum = rig.counts()
    assert arm < 0 < pendulum  # the pendulum stays behind
    rig.set_duty(float("nan"))
    assert card.card_volts() == 0.0
    rig.close()
    assert card.card_volts() == 0.0 and not card.card_is_open()
    rig.close()


def test_its_watchdog_takes_the_motor_off(card: ctypes.CDLL) -> None:
    rig = Qube("0", load_rig(RIG))
    rig.set_duty(0.5)
    card.card_pass(0.2)  # nobody has fed it for longer than 0.1 s
    assert card.card_volts() == 0.0
    with pytest.raises(UserError, match="watchdog has turned its motor off"):
        rig.set_duty(0.5)
    rig.close()


def test_what_is_missing_is_named(card: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="hil_open of Quanser's HIL SDK failed with -1073"):
        Qube("7", load_rig(RIG))
    brushless = load_rig(SOURCE.parent / "brushless_rig.toml")
    with pytest.raises(UserError, match="the QUBE's card gives volts"):
        Qube("0", brushless)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    monkeypatch.setattr(qube, "LIBRARIES", ("no_such_library",))
    with pytest.raises(UserError, match="HIL SDK is not installed"):
        Qube("0", load_rig(RIG))


def test_the_wiring_check_runs_on_it(
    sdk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(sdk.parent))
    monkeypatch.setenv("HIL_CARD_LATE_S", "5")
    rig = load_rig(RIG)
    signals = rig.signals()
    policy = export_graph(timid_graph(rig=RIG, **_signals(signals)), tmp_path / "policies")

    def check(number: int) -> dict[str, Any]:
        return trial(
            TrialCommand(
                policy,
                port="qube:0",
                check_wiring=True,
                link_timeout_ticks=10,
                out=tmp_path / f"check{number}",
            )
        )

    result = in_real_time(check)
    assert (result["motor"], result["base_encoder"], result["pole_encoder"]) == (
        *("drives", "right", "right"),
    )


def _signals(signals: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    from sparsectl.policy.graph import Signal

    return {
        name: tuple(Signal(**signal) for signal in signals[name])  # type: ignore[arg-type]
        for name in ("observation", "action")
    }
