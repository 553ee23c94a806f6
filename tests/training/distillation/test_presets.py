"""Every setting of a stage that the command line has reaches its stage, and reaches no other."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from sparsectl.common.nested import replaced
from sparsectl.training.config import DistillConfig
from sparsectl.training.distillation.presets import Preset
from sparsectl.training.distillation.resolution import resolved

OPTIONS: dict[str, tuple[str, str, Any]] = {
    "steps": ("bpd", "steps", 11),
    "hidden": ("bpd", "hidden", (3, 5)),
    "channels": ("bpd", "channels", 5),
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
    "finetune.steps": ("finetune", "steps", 12),
    "finetune.rounds": ("finetune", "rounds", 13),
    "finetune.prune_rounds": ("finetune", "prune_rounds", 14),
    "finetune.score": ("finetune", "score", "magnitude"),
    "finetune.encoding": ("finetune", "encoding", "int8"),
    "finetune.learning_rate": ("finetune", "learning_rate", 0.25),
    "finetune.newton_below": ("finetune", "newton_below", 15),
    "finetune.newton_steps": ("finetune", "newton_steps", 16),
    "finetune.newton_rows": ("finetune", "newton_rows", 18),
    "dagger.rounds": ("dagger", "rounds", 19),
    "dagger.transitions": ("dagger", "transitions", 21),
    "dagger.tries": ("dagger", "tries", 22),
    "dagger.uniform_starts": ("dagger", "uniform_starts", 0.75),
    "dagger.hard_share": ("dagger", "hard_share", 0.375),
    "dagger.steps": ("dagger", "steps", 23),
    "search.generations": ("search", "generations", 24),
    "search.aim": ("search", "aim", "failures"),
    "search.pairs": ("search", "pairs", 25),
    "search.episodes": ("search", "episodes", 26),
    "search.pool": ("search", "pool", 2_500),
}
"""Option → the stage and the field that it is of, and a value that no preset has."""

ELSEWHERE = {
    *("dataset", "out", "preset", "method", "keep", "return_share", "table_bytes"),
    *("table_encoding", "env", "teacher", "critics", "seed"),
    *("episodes", "final_episodes", "evidence.episodes", "evidence.limit", "device", "workers"),
    *("checkpoint_seconds", "restart", "env_kwargs", "wrapper", "normalizer"),
    *("loss", "temperature"),  # of teachers that choose: policy_distillation/
}
"""Options that are no setting of a stage."""


def settled(**given: Any) -> Preset:
    teacher = Path("t.onnx")
    config = DistillConfig(Path("d.npz"), method="bpd", env="E-v0", teacher=teacher)
    return resolved(replaced(config, given))


def differences(first: Preset, second: Preset) -> set[tuple[str, str]]:
    return {
        (stage, field.name)
        for stage in ("bpd", "finetune", "dagger", "search")
        for field in fields(getattr(first, stage))
        if getattr(getattr(first, stage), field.name) != getattr(getattr(second, stage), field.name)
    }


def test_each_option_is_known_here() -> None:
    paths = set()
    for field in fields(DistillConfig):
        nested = fields(field.default) if is_dataclass(field.default) else ()
        paths |= {f"{field.name}.{each.name}" for each in nested} or {field.name}
    assert paths == OPTIONS.keys() | ELSEWHERE


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_reaches_its_setting_and_no_other(option: str) -> None:
    stage, name, value = OPTIONS[option]
    found = settled(**{option: value})
    assert differences(settled(), found) == {(stage, name)}
    assert getattr(getattr(found, stage), name) == value
