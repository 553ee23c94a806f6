"""Encoders that count backwards, from the rig's file to the motor: build, safety, trial, report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sparsectl.firmware_host.boards import find_board
from sparsectl.firmware_host.config_header import config_header
from sparsectl.firmware_host.policy_folder import read_policy_facts
from sparsectl.hil.config import IdentifyConfig, TrialConfig
from sparsectl.hil.identification.identify import identify
from sparsectl.hil.trial.trial import run_trial
from sparsectl.plants.rig import load_rig
from tests.hil.policies import EASY_RIG

SIGNS = [(-1, 1), (1, -1), (-1, -1)]
TEXT = EASY_RIG.read_text(encoding="utf-8")


def rig_file(folder: Path, base: int, pole: int, name: str = "mirrored") -> Path:
    """The easy rig, its encoders counting as asked."""
    text = TEXT.replace("unit_per_count = ", "unit_per_count = " + "-" * (base < 0))
    text = text.replace("counts_per_turn = ", "counts_per_turn = " + "-" * (pole < 0))
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("base", "pole"), SIGNS)
def test_a_rig_that_counts_backwards_swings_up_and_balances(
    easy: Path, tmp_path: Path, base: int, pole: int
) -> None:
    rig = rig_file(tmp_path, base, pole)
    result = run_trial(
        TrialConfig(
            policy=easy,
            rig=str(rig),
            clock="lockstep",
            seconds=10.0 if base == pole else 1.0,
            disturbances=0,
            out=tmp_path / "trial",
            report=False,
        )
    )
    assert (result["ended"], result["fault"], result["balanced"]) == ("completed", "NONE", True)
    if base != pole:
        return
    found = identify(IdentifyConfig(tmp_path / "trial" / "journal.bin", tmp_path / "found.toml"))
    unit = found["parameters"]["base.unit_per_count"]
    assert unit["low"] < base * 9.0e-5 < unit["high"]
    assert load_rig(tmp_path / "found.toml").pole.counts_per_turn == pytest.approx(
        pole * 4170, rel=0.01
    )


@pytest.mark.parametrize("wrong", ["base", "pole"])
def test_a_sign_that_is_not_the_rigs_is_found_by_the_board(
    easy: Path, tmp_path: Path, wrong: str
) -> None:
    """The file says that this encoder counts backwards; on the rig a person has swapped it back."""
    rig = rig_file(tmp_path, -1, -1)
    result = run_trial(
        TrialConfig(
            policy=easy,
            rig=str(rig),
            clock="lockstep",
            seconds=2.0,
            disturbances=0,
            fault=f"reversed_{wrong}_encoder",
            out=tmp_path / "trial",
            report=False,
        )
    )
    assert result["fault"] in ("REVERSED_BASE", "REVERSED_POLE")
    assert wrong == "base" or result["fault"] == "REVERSED_POLE"


@pytest.mark.parametrize(("base", "pole"), SIGNS)
def test_no_threshold_depends_on_which_way_an_encoder_counts(
    easy: Path, tmp_path: Path, base: int, pole: int
) -> None:
    policy, board = read_policy_facts(easy), find_board("host")

    def macros(rig: Path) -> dict[str, str]:
        constants = load_rig(rig).firmware_constants()
        header = config_header(constants, policy, board)
        return dict(re.findall(r"#define (\w+) (\S+)", header))

    plain, mirrored = macros(EASY_RIG), macros(rig_file(tmp_path, base, pole))
    changed = {name for name in plain if plain[name] != mirrored[name]}
    of_base = {"RIG_BASE_UNIT_PER_COUNT", "RIG_BASE_SPEED_PER_COUNT", "RIG_BASE_SENSE"}
    of_pole = {
        *("RIG_POLE_RAD_PER_COUNT", "RIG_POLE_SPEED_PER_COUNT"),
        *("RIG_POLE_PHASE_PER_COUNT", "RIG_POLE_SENSE"),
    }
    assert changed == (of_base if base < 0 else set()) | (of_pole if pole < 0 else set())
