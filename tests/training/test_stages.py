"""Stages: what comes next follows from what is done."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from training.presets import Preset
from training.settings import BpdSettings, DaggerSettings, FinetuneSettings
from training.stages import Stages
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
    assert names == ["bpd", *dagger_names, *fine]
    assert stages.chosen() == (stages.report[-1], True)
