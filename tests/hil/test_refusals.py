"""A trial that must not begin ends in one line, with nothing armed and nothing left behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.firmware_host import config_header
from sparsectl.firmware_host.build import build_firmware
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.simulation.virtual_rig import VirtualRig
from sparsectl.hil.trial.trial import run_trial
from sparsectl.plants.pole_pull import PolePull
from sparsectl.plants.rig import RIGS_FOLDER, load_rig
from sparsectl.policy.graph import Layer
from sparsectl.policy.onnx_file.writer import write_onnx
from tests.hil.policies import RIG, export_graph, timid_graph

Short = Callable[..., TrialConfig]


def refused(config: TrialConfig, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        run_trial(config)
    assert "\n" not in str(caught.value)
    assert config.out is not None and not config.out.exists()


@pytest.fixture
def board(timid: Path, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts a board with rig constants of one's own; gives its port."""
    rigs: list[VirtualRig] = []

    def start(policy: Path = timid, **changes: Any) -> str:
        constants = replace(load_rig(RIG).firmware_constants(), **changes)
        built = build_firmware(policy, "host", constants, tmp_path / "board")
        rigs.append(VirtualRig(Path(built["elf"]), "realtime", None))
        return rigs[-1].__enter__().port

    yield start
    for rig in rigs:
        rig.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"pole_rad_per_count": 2e-3}, "pole_rad_per_count is 0.002"),
        ({"base_unit_per_count": 1e-4}, "base_unit_per_count is"),
        ({"base_limit": 0.3}, "base_limit is 0.3 on the board, 0.198 in rig"),
        ({"max_duty": 0.5}, "max_duty is 0.5 on the board"),
        ({"base_rate_limit": 9.0}, "base_rate_limit is 9 on the board, 2 in rig"),
        ({"pole_rate_limit": 99.0}, "pole_rate_limit is 99 on the board, 60 in rig"),
        ({"current_limit_a": 300.0}, "current_limit_ma is 300000 on the board, 3000 in rig"),
        ({"limit_switches": 1}, "limit_switches is 1 on the board, 0 in rig"),
        ({"pole_sense": -1}, "pole_sense is -1 on the board, 1 in rig"),
        ({"telling_acceleration": 1e3}, "telling_jerk is 4445 on the board, 11 in rig"),
        (
            {"pole_pull": PolePull(2.45, 0.2, 16.0, 0.3)},
            "other masses, lengths or duties than rig sensorsini_cartpole has .* flash it again",
        ),
    ],
)
def test_other_constants(
    short: Short, board: Callable[..., str], changes: dict[str, float], complaint: str
) -> None:
    refused(short(port=board(**changes)), complaint)


def test_limits_that_another_version_derives_otherwise(
    short: Short, board: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(config_header, "STUCK_DUTY", 0.9)
        port = board()
    refused(
        short(port=port), r"safety checks are of version .*\+.*, here is .*; build and flash it"
    )


def test_guards_of_another_version(
    short: Short, board: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board that stays powered with an older image has its old rules, whatever its constants."""
    with monkeypatch.context() as patch:
        patch.setattr(config_header, "_guards_code", lambda: "other rules")
        port = board()
    refused(
        short(port=port), r"safety checks are of version .*\+.*, here is .*; build and flash it"
    )


def test_comments_and_layout_make_no_other_guards() -> None:
    code = config_header._without_comments("int a; /* why\n */\n  a = 1; // so\n")
    assert code == config_header._without_comments("int a;\n\n a =  1;")
    assert code != config_header._without_comments("int a; a = 2;")


def test_another_rate(short: Short, tmp_path: Path) -> None:
    text = (RIGS_FOLDER / f"{RIG}.toml").read_text()
    slow = tmp_path / "slow.toml"
    slow.write_text(text.replace("period_s = 0.02 ", "period_s = 0.05 "))
    refused(short(rig=str(slow)), "a period of 20 ms, rig slow runs at 50 ms")


def test_another_rate_on_the_board(short: Short, board: Callable[..., str], tmp_path: Path) -> None:
    """A policy that names no rate can be built for any: only the board knows which."""
    folder = export_graph(timid_graph(period_s=0.0), tmp_path / "rateless")
    port = board(folder, period_us=50_000)
    refused(short(policy=folder, port=port), "period_us is 50000 on the board, 20000 in rig")


def test_another_policy_on_the_board(
    short: Short, board: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    write_onnx(timid_graph(seed=9), folder / "policy.onnx")
    refused(short(port=board(), policy=folder), "the board's policy has digest .* policy.onnx")


def test_another_policy_beside_the_c(short: Short, timid: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(timid, folder)
    write_onnx(timid_graph(seed=9), folder / "policy.onnx")
    refused(short(policy=folder), "policy.h in .* has digest .* policy.onnx beside it")


def test_damaged_c_fails_its_golden_vectors(short: Short, timid: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(timid, folder)
    header = (folder / "policy_vectors.h").read_text()
    place = header.index("policy_vector_action")
    start = header.index(".", place) + 1
    digit = header[start]
    changed = header[:start] + ("1" if digit != "1" else "2") + header[start + 1 :]
    (folder / "policy_vectors.h").write_text(changed)
    refused(short(policy=folder), "golden vector 0 differs on the board by")


def test_a_policy_for_something_else(short: Short, tmp_path: Path) -> None:
    folder = export_graph(timid_graph(rig=None), tmp_path / "homeless")
    refused(short(policy=folder), "names no rig; name one with --rig")
    random = np.random.default_rng(0).normal(0, 0.1, (1, 5)).astype(np.float32)
    narrow = timid_graph(layers=(Layer(random, np.zeros(1, np.float32)),), frames=1)
    folder = export_graph(narrow, tmp_path / "narrow")
    refused(short(policy=folder), "takes 5 values, rig sensorsini_cartpole gives 25")
    refused(short(policy=tmp_path), "no policy.onnx in")
    (folder / "policy.onnx").write_bytes(b"\x08\x01 not a model")
    refused(short(policy=folder), "policy.onnx")


def test_a_missing_port(short: Short) -> None:
    refused(short(port="/dev/ttyACM77"), "no port /dev/ttyACM77")


def test_a_busy_port(short: Short, board: Callable[..., str]) -> None:
    import serial

    port = board()
    with serial.Serial(port, exclusive=True):
        refused(short(port=port), "in use by another program")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"seconds": 0.0}, "--seconds is 0.0; give 0.1 to"),
        ({"seconds": float("nan")}, "--seconds is nan"),
        ({"disturbance_duty": 1.5}, "--disturbance-duty is 1.5; give 0 to 1"),
        ({"rig": "nonsense"}, "no rig nonsense"),
        ({"seed": -1}, "--seed is -1"),
    ],
)
def test_numbers_out_of_range(short: Short, changes: dict[str, Any], complaint: str) -> None:
    refused(short(**changes), complaint)


def test_a_refused_trial_leaves_an_earlier_one_as_it_was(short: Short, tmp_path: Path) -> None:
    run_trial(short())
    before = {path.name for path in (tmp_path / "trial").iterdir()}
    journal = (tmp_path / "trial" / "journal.bin").read_bytes()
    with pytest.raises(UserError, match="no port"):
        run_trial(short(port="/dev/ttyACM77"))
    assert {path.name for path in (tmp_path / "trial").iterdir()} == before
    assert (tmp_path / "trial" / "journal.bin").read_bytes() == journal
