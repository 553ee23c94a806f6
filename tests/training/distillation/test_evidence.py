"""Evidence: teacher and student in the same episodes, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.policy.load import load_acting
from sparsectl.policy.student_file import StudentLayer
from sparsectl.training.config import DistillConfig
from sparsectl.training.data.files import read_dataset
from sparsectl.training.distillation.evidence import Evidence, evidence_of
from sparsectl.training.distillation.interim import evidence_analyses
from sparsectl.training.distillation.measurement import GROWTH, Measurement
from sparsectl.training.distillation.presets import Preset
from sparsectl.training.distillation.targets import verdict
from sparsectl.training.rollouts.episodes import Rollouts
from sparsectl.training.rollouts.seeds import Series
from sparsectl.training.settings import (
    BpdSettings,
    DaggerSettings,
    EvidenceOptions,
    FinetuneSettings,
)
from tests.training.balancer import SHORT

EVEN = {"kept_weights": 10}
LAYERS = (StudentLayer(np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32), np.ones(1)),)


def config(**changes: Any) -> DistillConfig:
    return DistillConfig(Path("d.npz"), env=SHORT, teacher=Path("t.onnx"), **changes)


def interval(low: float, high: float) -> dict[str, float]:
    return {"difference_low": low, "difference_high": high}


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.04, -0.01, "met"),
        (-0.05, 0.02, "met"),
        (-0.065, -0.031, "unclear"),  # lost 4.9 % in the mean, and was called met
        (-0.09, -0.06, "missed"),
    ],
)
def test_a_return_is_met_only_by_its_whole_interval(low: float, high: float, said: str) -> None:
    assert verdict(config(return_share=0.95), EVEN, interval(low, high)) == said


def test_a_size_is_known_and_no_target_is_not_judged() -> None:
    assert verdict(config(keep=10), EVEN, None) == "met"
    assert verdict(config(keep=9), EVEN, None) == "missed"
    assert verdict(config(table_bytes=9), EVEN | {"table_bytes": 10}, None) == "missed"
    assert verdict(config(), EVEN, interval(0, 0)) is None


def test_more_episodes_decide_up_to_a_limit() -> None:
    assert evidence_analyses(config(preset="quick")) == [300]
    assert evidence_analyses(config()) == [2000]
    asked = config(return_share=0.9, evidence=EvidenceOptions(100, 500))
    assert evidence_analyses(asked) == [100, 200, 400, 500]
    assert evidence_analyses(replace(asked, return_share=None)) == [100]
    for options in (EvidenceOptions(0), EvidenceOptions(100, 50)):
        with pytest.raises(UserError, match="evidence\\."):
            evidence_analyses(replace(asked, evidence=options))


def test_each_of_several_analyses_has_a_wider_interval() -> None:
    random = np.random.default_rng(0)
    teacher = random.normal(300, 20, 400)
    student = teacher + random.normal(0, 5, 400)
    one, four = (evidence_of(student, teacher, 1 - 0.05 / analyses) for analyses in (1, 4))
    assert four["difference_low"] < one["difference_low"] < one["difference_high"]
    assert four["confidence"] == 1 - 0.05 / 4


def test_both_meet_the_same_episodes_and_no_episode_is_run_twice(
    balancer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = load_acting(balancer)
    with Rollouts(SHORT, 1) as rollouts:
        ran = []
        original = rollouts._submit

        def counted(behaviour: Any, seed: Any, number: int) -> Any:
            ran.append(number)
            return original(behaviour, seed, number)

        monkeypatch.setattr(rollouts, "_submit", counted)

        def gathered(stop: Any = lambda: None, enough: int = 6) -> Any:
            evidence = Evidence(rollouts, tmp_path / "evidence.npz", teacher, teacher, LAYERS, stop)
            return evidence.gather([3, 6, 12], lambda figures: figures["episodes"] >= enough)

        figures = gathered()
        assert figures["episodes"] == 6
        # A student that is its teacher differs by nothing, which is so in the same episodes alone.
        assert figures["difference"] == figures["difference_low"] == 0
        expected = rollouts.returns(teacher, (Series.EVIDENCE,), 6)
        assert figures["teacher_return_mean"] == pytest.approx(float(expected.mean()), rel=1e-6)
        ran.clear()
        assert gathered() == figures and not ran  # the file has them

        calls = iter(range(100))

        def stop() -> None:
            if next(calls) == 1:
                raise UserError("stopped")

        with pytest.raises(UserError, match="stopped"):
            gathered(stop, enough=12)
        kept = np.load(tmp_path / "evidence.npz")
        assert (len(kept["student"]), len(kept["teacher"])) == (8, 6)
        assert gathered(enough=12)["episodes"] == 12


def test_a_stage_gets_more_of_the_same_episodes_where_few_are_not_clear(balancer: Path) -> None:
    teacher = load_acting(balancer)
    preset = Preset(BpdSettings(), FinetuneSettings(), DaggerSettings(), episodes=2)
    with Rollouts(SHORT, 1) as rollouts:
        measurement = Measurement(rollouts, preset, teacher)
        expected = rollouts.returns(teacher, (Series.SELECTION,), 8)
        first = measurement.teacher_return
        for enough, episodes in ((1, 2), (4, 4), (99, 2 * GROWTH)):
            figures = measurement.of_stage(teacher, True, lambda f, n=enough: f["episodes"] >= n)
            assert figures["episodes"] == episodes
            # A student that is its teacher differs by nothing, which is so in the same ones alone.
            assert figures["difference_low"] == figures["difference_high"] == 0
            assert figures["return_mean"] == pytest.approx(float(expected[:episodes].mean()))
        assert measurement.teacher_return == first
        assert measurement.of_stage(teacher, False, lambda f: False)["episodes"] == 2


def test_a_dataset_says_its_teachers_weights_beside_its_parameters(balancing: Path) -> None:
    facts = read_dataset(balancing).metadata["teacher"]
    assert (facts["weights"], facts["parameters"]) == (4, 5)


def test_the_shipped_teacher_has_both_countings() -> None:
    shipped = Path(__file__).parents[3] / "training" / "teachers" / "sensorsini_cartpole.onnx"
    facts = load_acting(shipped).facts()
    assert facts["parameters"] == 72_705
    assert facts["weights"] == 25 * 256 + 256 * 256 + 256
