"""Stages: what comes next follows from what is done."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.training.distillation.presets import Preset
from sparsectl.training.distillation.stages import Stages
from sparsectl.training.distillation.targets import Keep
from sparsectl.training.settings import BpdSettings, DaggerSettings, FinetuneSettings

JSON = dict[str, Any]


def entry(name: str, keep: int, kept: int) -> JSON:
    return {"name": name, "keep": keep, "kept_weights": kept, **returns(0.0)}


def returns(value: float) -> JSON:
    return dict.fromkeys(("return_mean", "return_worst_tenth", "return_worst_hundredth"), value)


@given(st.integers(0, 2), st.integers(2, 5), st.integers(0, 5), st.integers(1, 7))
def test_stages_come_in_order(daggers: int, down: int, rounds: int, tries: int) -> None:
    dagger = DaggerSettings(rounds=daggers, tries=tries)
    preset = Preset(BpdSettings(), FinetuneSettings(rounds=rounds), dagger, online=True)
    stages = Stages(preset, Keep(50, down, rounds))
    seen = []
    kept = 200
    while (stage := stages.next()) is not None:
        before = kept
        kept = min(kept, stage.keep or kept)
        seen.append(stage)
        if stage.kind == "finetune" and stage.number:
            assert stage.data_round == daggers + stage.number
            assert stage.tries == (tries if before <= 50 else 1)
        stages.report.append(entry(stage.name, stage.keep, kept))
    names = [stage.name for stage in seen]
    dagger_names = [f"dagger-{k}" for k in range(1, daggers + 1)]
    fine = ["finetune", *(f"finetune-{k}" for k in range(1, down + rounds + 1))]
    assert names == ["bpd", *dagger_names, *fine]
    assert stages.chosen() == stages.report[-1]


@pytest.mark.parametrize(("episodes", "chosen"), [(0, "finetune-1"), (100, "finetune-3")])
def test_more_episodes_decide_among_the_three_best_that_fit(episodes: int, chosen: str) -> None:
    preset = Preset(
        BpdSettings(), FinetuneSettings(), DaggerSettings(), final_episodes=episodes, online=True
    )
    stages = Stages(preset, Keep(50, 2, 3))
    values = {"finetune": (60, 9.0), "finetune-1": (50, 8.0), "finetune-2": (50, 5.0)}
    values |= {"finetune-3": (50, 6.0), "finetune-4": (50, 7.0)}
    stages.report = [entry("bpd", 0, 200)]
    stages.report += [entry(n, 50, kept) | returns(value) for n, (kept, value) in values.items()]
    finalists = stages.finalists()
    if episodes:
        assert [e["name"] for e in finalists] == ["finetune-1", "finetune-4", "finetune-3"]
    for e, value in zip(finalists, (1.0, 2.0, 3.0), strict=False):
        e |= {f"final_{name}": figure for name, figure in returns(value).items()}
    assert stages.chosen()["name"] == chosen


def test_one_student_that_fits_needs_no_final() -> None:
    preset = Preset(BpdSettings(), FinetuneSettings(), DaggerSettings(), final_episodes=100)
    stages = Stages(preset, Keep(50, 2, 3))
    stages.report = [entry("bpd", 0, 200), entry("finetune", 0, 60), entry("finetune-1", 50, 50)]
    assert stages.finalists() == []
    assert stages.chosen() == stages.report[-1]
