"""docs/rigs.md, done as it says: the file on the page, and each command that takes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.hil.config import IdentifyConfig, TrialConfig
from sparsectl.hil.identification.identify import identify
from sparsectl.hil.trial.trial import run_trial
from sparsectl.plants import OWN_RIG
from sparsectl.plants.bare_rig import outside_of, whole_rig
from sparsectl.plants.drawing import load_ranges
from sparsectl.plants.environment import PendulumEnv
from sparsectl.plants.plant import wrap_angle
from sparsectl.plants.rig import load_rig
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from sparsectl.policy.onnx_file.writer import write_onnx
from sparsectl.policy.passes import simplify
from sparsectl.training.config import CollectConfig, EvaluateConfig
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.rollouts.evaluate import evaluate

PAGE = Path(__file__).parent.parent / "docs" / "rigs.md"


def toml_blocks() -> list[str]:
    """The page's rig files, or parts of one, in their order."""
    return re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def rig_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = toml_blocks()[2]
    path = tmp_path_factory.mktemp("rig") / "my_rig.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def policy(rig_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy for the rig that throws the cart to and fro, a hand's breadth."""
    rig = load_rig(rig_file)
    signals = rig.signals()
    weight = np.zeros((1, 25), dtype=np.float32)
    weight[0, 20:] = (-16.0, 6.0, 0.0, 0.0, 0.0)  # back to the middle, faster and faster
    graph = PolicyGraph(
        layers=(Layer(weight, np.full(1, 0.5, dtype=np.float32), "tanh"),),
        observation=tuple(Signal(**signal) for signal in signals["observation"]),
        action=tuple(Signal(**signal) for signal in signals["action"]),
        frames=rig.frames,
        period_s=rig.period_s,
        rig=rig.name,
        environment=str(rig_file),
        provenance={},
    )
    folder = tmp_path_factory.mktemp("policy")
    write_onnx(simplify(graph), folder / "made.onnx")
    export_policy(ExportConfig(folder / "made.onnx", folder / "policy", observations=200))
    return folder / "policy"


def test_the_environment_is_a_good_one(rig_file: Path) -> None:
    check_env(gymnasium.make(OWN_RIG, rig=str(rig_file)).unwrapped, skip_render_check=True)


@pytest.mark.parametrize(("block", "family"), [(0, "cartpole"), (1, "furuta")])
def test_the_first_files_are_enough_for_a_policy_for_any_rig(
    block: int, family: str, tmp_path: Path
) -> None:
    path = tmp_path / "my_rig.toml"
    path.write_text(toml_blocks()[block], encoding="utf-8")
    ranges = load_ranges(family)
    whole = whole_rig(path, ranges)
    assert not outside_of(whole, ranges)
    assert whole.rig.firmware_constants().period_us == 10_000


def test_firmware_gets_its_numbers(rig_file: Path) -> None:
    constants = load_rig(rig_file).firmware_constants()
    assert constants.base_limit == 0.36
    assert constants.pole_rad_per_count == pytest.approx(2 * np.pi / 4096)


def test_the_rotary_lines_make_it_an_arm_that_moves_its_pole(tmp_path: Path) -> None:
    _, _, whole, rotary, _ = toml_blocks()
    for part in re.split(r"\n(?=\[)", rotary.strip()):
        head = part.partition("\n")[0] if part.startswith("[") else "model ="
        start = whole.index(head.split("]")[0])
        end = whole.find("\n\n" if head.startswith("[") else "\n", start)
        whole = whole[:start] + part.strip() + whole[end:]
    path = tmp_path / "arm.toml"
    path.write_text(whole, encoding="utf-8")
    rig = load_rig(path)
    assert rig.is_rotary and rig.lever_m == rig.base.length_m == 0.085
    env = gymnasium.make(OWN_RIG, rig=str(path), randomised=False).unwrapped
    assert isinstance(env, PendulumEnv)
    env.reset(seed=0)
    for _ in range(10):
        env.step(np.ones(1, dtype=np.float32))
    arm_rad, _, pole_rad, _ = env.plant.state()
    assert arm_rad > 0.1 and abs(wrap_angle(pole_rad - np.pi)) > 0.1
    jerk = rig.firmware_constants().telling_acceleration
    assert jerk == pytest.approx(0.4 * 9.81 / 0.085)


def test_the_lines_of_a_bang_bang_drive_make_a_rig_with_choices(tmp_path: Path) -> None:
    _, _, whole, _, duties = toml_blocks()
    head, _, lines = duties.partition("\n")
    path = tmp_path / "bang_bang.toml"
    start = whole.index(head)
    end = whole.index("\n\n", start)
    mine = [line for line in whole[start:end].splitlines() if not line.startswith("max_duty")]
    path.write_text(whole[:start] + "\n".join(mine) + "\n" + lines + whole[end:], encoding="utf-8")
    env = gymnasium.make(OWN_RIG, rig=str(path)).unwrapped
    check_env(env, skip_render_check=True)
    assert env.action_space == gymnasium.spaces.Discrete(3)


def test_collect_and_evaluate_take_the_file(rig_file: Path, policy: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset.npz"
    collected = collect(CollectConfig(policy, str(rig_file), dataset, transitions=600, workers=1))
    assert collected["transitions"] >= 600 and dataset.is_file()
    measured = evaluate(EvaluateConfig(policy, str(rig_file), episodes=2))
    assert 0 <= measured["return_min"] <= measured["return_mean"] < 500


@pytest.fixture(scope="module")
def journal(rig_file: Path, policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trial") / "trial"
    trial: dict[str, Any] = run_trial(
        TrialConfig(
            policy,
            rig=str(rig_file),
            mode="pil",
            clock="fast",
            seconds=5.0,
            swing_up_limit_s=12.0,
            disturbances=0,
            out=out,
            report=False,
        )
    )
    assert trial["ticks"] > 250 and trial["lost_frames"] == 0
    return out / "journal.bin"


def test_a_trial_tells_of_the_rig(rig_file: Path, journal: Path, tmp_path: Path) -> None:
    config = IdentifyConfig(journal, tmp_path / "my_unit.toml", str(rig_file))
    found = identify(config)["parameters"]
    assert load_rig(tmp_path / "my_unit.toml").pole.length_m == pytest.approx(0.6413, rel=0.01)
    assert found["pole.length_m"]["low"] < 0.6413 < found["pole.length_m"]["high"]


BARE = """period_s = 0.02
[base]
unit_per_count = 2.275e-5
limit = 0.36
[pole]
counts_per_turn = 4096
"""


def test_a_trial_tells_of_a_rig_whose_file_has_no_masses(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare.toml"
    bare.write_text(BARE + "mass_kg = 0.23\nlength_m = 0.6\n", encoding="utf-8")
    found = identify(IdentifyConfig(journal, tmp_path / "my_unit.toml", str(bare)))["parameters"]
    length, base = found["pole.length_m"], found["base.mass_kg"]
    assert length["was"] == 0.6 and length["value"] == pytest.approx(0.6413, rel=0.01)
    assert base["was"] < 0.4 and base["value"] > 0.5  # of base and rotor
    told = capsys.readouterr().err
    assert "does not give [base] mass_kg, " in told
    assert "[motor] back_emf_v cannot be fitted and stays there: add it" in told


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (toml_blocks()[1], "is of a cart on a track (my_rig), but OTHER describes a rotary"),
        (BARE + "mass = 0.1", "OTHER [pole]: unknown key 'mass'; known: coulomb_friction, "),
        (BARE.replace("0.02", "0.01"), "of 20 ms, but period_s in OTHER makes it 10 ms"),
        ('model = "car.xml"', "OTHER: 'base' is missing"),
    ],
)
def test_a_file_of_another_rig_is_refused_before_the_fit(
    text: str, why: str, journal: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as refused:
        identify(IdentifyConfig(journal, tmp_path / "my_unit.toml", str(other)))
    assert why.replace("OTHER", str(other)) in str(refused.value)
    assert not (tmp_path / "my_unit.toml").exists()
