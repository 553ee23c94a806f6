"""Every setting of a stage that the command line has reaches its stage, and reaches no other."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sparsectl.training.config import DistillConfig
from sparsectl.training.distillation.presets import Preset
from sparsectl.training.distillation.resolution import resolved

OPTIONS: dict[str, tuple[str, str, Any]] = {
    "steps": ("bpd", "steps", 11),
    "hidden": ("bpd", "hidden", (3, 5)),
    "batch_size": ("bpd", "batch_size", 17),
    "learning_rate": ("bpd", "learning_rate", 0.125),
    "units": ("bpd", "units", "physical"),
    "imitation": ("bpd", "imitation", "mean"),
    "value_weight": ("bpd", "value_weight", 0.125),
    "kl_multiplier": ("bpd", "kl_multiplier", 0.125),
    "kl_weights": ("bpd", "kl_weights", 9),
    "kl_return": ("bpd", "kl_return", 0.5),
    "kl_schedule": ("bpd", "kl_schedule", "cosine"),
    "noise": ("bpd", "noise", "authors"),
    "prior": ("bpd", "prior", "laplace"),
    "prior_scale": ("bpd", "prior_scale", 0.125),
    "log_alpha_threshold": ("bpd", "log_alpha_threshold", 1.5),
    "critic_dtype": ("bpd", "critic_dtype", "bfloat16"),
    "discount": ("bpd", "discount", 0.5),
    "finetune_steps": ("finetune", "steps", 12),
    "finetune_rounds": ("finetune", "rounds", 13),
    "finetune_prune_rounds": ("finetune", "prune_rounds", 14),
    "finetune_score": ("finetune", "score", "magnitude"),
    "finetune_encoding": ("finetune", "encoding", "int8"),
    "finetune_learning_rate": ("finetune", "learning_rate", 0.25),
    "finetune_newton_below": ("finetune", "newton_below", 15),
    "finetune_newton_steps": ("finetune", "newton_steps", 16),
    "finetune_newton_rows": ("finetune", "newton_rows", 18),
    "dagger_rounds": ("dagger", "rounds", 19),
    "dagger_transitions": ("dagger", "transitions", 21),
    "dagger_tries": ("dagger", "tries", 22),
    "dagger_anywhere": ("dagger", "anywhere", 0.75),
    "dagger_hard_share": ("dagger", "hard_share", 0.375),
    "dagger_steps": ("dagger", "steps", 23),
}
"""Option → the stage and the field that it is of, and a value that no preset has."""

ELSEWHERE = {
    *("dataset", "out", "preset", "method", "keep", "return_share", "table_bytes"),
    *("table_encoding", "flash", "flash_encoding", "env", "teacher", "critics", "seed"),
    *("episodes", "final_episodes", "evidence_episodes", "evidence_limit", "device", "workers"),
    *("checkpoint_seconds", "restart", "env_kwargs", "wrapper", "normalizer"),
}
"""Options that are no setting of a stage."""


def settled(**given: Any) -> Preset:
    teacher = Path("t.onnx")
    config = DistillConfig(Path("d.npz"), method="bpd", env="E-v0", teacher=teacher, **given)
    return resolved(config)


def differences(first: Preset, second: Preset) -> set[tuple[str, str]]:
    return {
        (stage, field.name)
        for stage in ("bpd", "finetune", "dagger")
        for field in fields(getattr(first, stage))
        if getattr(getattr(first, stage), field.name) != getattr(getattr(second, stage), field.name)
    }


def test_each_option_is_known_here() -> None:
    assert {field.name for field in fields(DistillConfig)} == OPTIONS.keys() | ELSEWHERE


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_reaches_its_setting_and_no_other(option: str) -> None:
    stage, name, value = OPTIONS[option]
    found = settled(**{option: value})
    assert differences(settled(), found) == {(stage, name)}
    assert getattr(getattr(found, stage), name) == value
