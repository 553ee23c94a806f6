"""Stages: what comes next follows from what is done; the last students of one mask are averaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.training.test_wishes import online
from training.config import BpdSettings, DaggerSettings, FinetuneSettings
from training.distill import distill
from training.presets import Preset
from training.stages import Stages
from training.students.storage import read_student
from training.targets import Keep

JSON = dict[str, Any]


def entry(name: str, keep: int, kept: int) -> JSON:
    returns = {"return_mean": 0.0, "return_worst_tenth": 0.0, "return_min": 0.0}
    return {"name": name, "keep": keep, "kept_weights": kept, **returns}


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
    alike = fine[down:][(1 + rounds) // 2 :]
    averages = ["average"] if len(alike) > 1 else []
    assert names == ["bpd", *dagger_names, *fine, *averages]


def test_the_average_is_that_of_the_last_students(
    balancer: Path, balancing: Path, tmp_path: Path
) -> None:
    config = online(balancing, balancer, tmp_path, keep=40, dagger_rounds=0, finetune_rounds=3)
    result = distill(config)
    names = [step["name"] for step in result["steps"]]
    assert names[-3:] == ["finetune-4", "finetune-5", "average"]
    last = [read_student(tmp_path / "students" / f"{name}.safetensors") for name in names[-3:]]
    for one, two, both in zip(*(student.layers for student in last), strict=True):
        np.testing.assert_array_equal(both.mean, np.mean([one.mean, two.mean], axis=0))
        np.testing.assert_array_equal(both.bias, np.mean([one.bias, two.bias], axis=0))
        np.testing.assert_array_equal(both.mask, one.mask)
    assert result["steps"][-1]["kept_weights"] == result["steps"][-2]["kept_weights"] <= 40
    again = distill(config)
    assert (again["steps"], again["chosen"]) == (result["steps"], result["chosen"])
