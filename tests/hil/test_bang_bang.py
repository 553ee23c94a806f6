"""A rig that is driven bang-bang: what its policy chooses, in every mode and in the journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.build import build_firmware
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.convert.config import ConvertConfig
from sparsectl.hil.convert.convert import convert
from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.journal.trace import read_trace
from sparsectl.hil.planning.plan import _check_fit
from sparsectl.hil.replay.config import ReplayConfig
from sparsectl.hil.replay.replay import replay
from sparsectl.hil.simulation.virtual_rig import VirtualRig
from sparsectl.hil.trial.trial import run_trial
from sparsectl.plants.rig import RIGS_FOLDER, load_rig
from sparsectl.policy.graph import Layer
from sparsectl.policy.recurrent import Gru, recurrent_policy
from sparsectl.policy.signals import Signal
from tests.hil.policies import (
    BANG_BANG,
    RIG,
    choosing_graph,
    export_graph,
    remembering_chooser,
)

Short = Callable[..., TrialConfig]
DUTIES = np.asarray(load_rig(BANG_BANG).motor.duties, np.float32)


@pytest.fixture(scope="module")
def choosing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an exported policy that chooses left, off or right."""
    return export_graph(choosing_graph(), tmp_path_factory.mktemp("choosing") / "policies")


@pytest.fixture
def shortly(short: Short, choosing: Path, tmp_path: Path) -> Short:
    """Its trials, with a firmware of their own."""

    def config(**changes: object) -> TrialConfig:
        return short(**{"policy": choosing, "firmware": tmp_path / "firmware", **changes})

    return config


@pytest.mark.usefixtures("cached_compilers")
def test_what_is_chosen_is_in_the_journal_and_in_its_replay(shortly: Short, tmp_path: Path) -> None:
    for mode in ("device", "host"):
        out = tmp_path / mode
        result = run_trial(shortly(mode=mode, out=out))
        trace = read_trace(read_journal(out / "journal.bin"))
        assert set(trace.policy_output.astype(np.float32)) == set(DUTIES)
        assert set(trace.duty.astype(np.float32)) == set(DUTIES)
        assert sum(result["choices"]["shares"]) == pytest.approx(1)
        assert result["choices"]["changes_per_second"] > 1
    again = replay(ReplayConfig(journal=tmp_path / "host"))
    assert again["agrees"], again
    convert(ConvertConfig(journal=tmp_path / "host", to="parquet", out=tmp_path / "ticks.parquet"))
    table = pq.read_table(tmp_path / "ticks.parquet")
    chosen = DUTIES[np.asarray(table["choice"])]
    assert np.array_equal(chosen, np.asarray(table["policy_output"], np.float32))


@pytest.mark.usefixtures("cached_compilers")
def test_a_choice_that_depends_on_a_state(shortly: Short, tmp_path: Path) -> None:
    folder = export_graph(remembering_chooser(), tmp_path / "remembering")
    for mode in ("device", "host", "pil"):
        out = tmp_path / mode
        result = run_trial(shortly(policy=folder, mode=mode, out=out))
        assert result["recurrent"]["state_size"] == 1
        trace = read_trace(read_journal(out / "journal.bin"))
        assert set(trace.policy_output.astype(np.float32)) == set(DUTIES)
        again = replay(ReplayConfig(journal=out))
        assert again["agrees"], again


def test_frames_that_a_recurrent_policy_does_not_speak_of(tmp_path: Path) -> None:
    """As those of RecurrentPPO that was trained on the rig's stack of five."""
    signals = load_rig(BANG_BANG).signals()["observation"]
    stacked = tuple(
        Signal(**{**signal, "name": f"{signal['name']}_{frame}"})
        for frame in range(5)
        for signal in signals
    )
    cell = Gru(*(np.zeros(shape, np.float32) for shape in ((3, 25), (3, 1), (3,), (3,))))
    last = Layer(np.zeros((3, 1), np.float32), np.zeros(3, np.float32), "argmax")
    graph = recurrent_policy([cell, last], stacked, choosing_graph().action, frames=1)
    with pytest.raises(
        UserError, match="takes 25 values, 5 frames of the 5 that rig .* frames = 1"
    ):
        _check_fit(graph, load_rig(BANG_BANG))


def refused(config: TrialConfig, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        run_trial(config)
    assert "\n" not in str(caught.value)
    assert config.out is not None and not config.out.exists()


def test_a_policy_of_another_kind_is_refused(shortly: Short, timid: Path, tmp_path: Path) -> None:
    refused(shortly(policy=timid, rig=BANG_BANG), "gives a real number, .* one of 3 duties; name")
    refused(shortly(rig=RIG), "takes one of 3 choices, from 0 on, the rig's motor takes any duty")
    text = (RIGS_FOLDER / f"{BANG_BANG}.toml").read_text()
    for duties, complaint in (
        ("[1.0, 0.0, -1.0]", "was trained to choose among the duties -1, 0, 1, the rig has"),
        ("[-1.0, 1.0]", "takes one of 3 choices, from 0 on, the rig's motor has 2 duties"),
    ):
        other = tmp_path / "other.toml"
        other.write_text(text.replace("[-1.0, 0.0, 1.0]", duties))
        refused(shortly(rig=str(other)), complaint)


def test_other_duties_on_the_board(shortly: Short, tmp_path: Path) -> None:
    """A policy that does not say its duties can be built for any: only the board knows which."""
    graph = choosing_graph()
    silent = choosing_graph(action=(replace(graph.action[0], levels=()),))
    folder = export_graph(silent, tmp_path / "silent")
    text = (RIGS_FOLDER / f"{BANG_BANG}.toml").read_text()
    other = tmp_path / "other.toml"
    other.write_text(text.replace("[-1.0, 0.0, 1.0]", "[1.0, 0.0, -1.0]"))
    built = build_firmware(folder, "host", load_rig(other).firmware_constants(), tmp_path / "board")
    with VirtualRig(Path(built["elf"]), "realtime", None) as board:
        complaint = "was built with other masses, lengths or duties than rig sensorsini_bang_bang"
        refused(shortly(policy=folder, port=board.port), complaint)
