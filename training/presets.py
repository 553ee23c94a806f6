"""Named sets of settings for `sparsectl distill`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from common.errors import UserError
from training.config import BpdSettings, DaggerSettings, DistillConfig, FinetuneSettings

Settings = TypeVar("Settings", BpdSettings, FinetuneSettings, DaggerSettings)


@dataclass(frozen=True)
class Preset:
    """The settings of every stage."""

    bpd: BpdSettings
    finetune: FinetuneSettings
    dagger: DaggerSettings


PRESETS = {
    "paper": Preset(BpdSettings(), FinetuneSettings(), DaggerSettings()),
    # Measured on the cart-pole: 600 to 750 weights; the worst episode gains most from the rounds of
    # data that the fine-tuned student meets, and those must be large.
    "quick": Preset(
        BpdSettings(steps=4_000, learning_rate=4e-3, kl_multiplier=0.5, student_interval=1),
        FinetuneSettings(steps=6_000, rounds=5),
        DaggerSettings(rounds=1, transitions=20_000, steps=1_500),
    ),
}


def resolved(config: DistillConfig) -> Preset:
    """The preset's settings with what the config gives in their place.

    Rounds of student-driven data are dropped where the config has no environment and teacher.

    Raises:
        UserError: a setting is out of its range, or rounds are asked for without a teacher.
    """
    preset = PRESETS[config.preset]
    online = config.env is not None and config.teacher is not None
    asked = config.dagger_rounds or config.finetune_rounds
    if asked and not online:
        raise UserError(
            f"{asked} rounds are asked for but env is {config.env} and teacher {config.teacher}; "
            "rounds of student-driven data need both"
        )
    finetune = _override(preset.finetune, config, "finetune_")
    dagger = _override(preset.dagger, config, "dagger_")
    if not online:
        finetune, dagger = replace(finetune, rounds=0), replace(dagger, rounds=0)
    result = Preset(_override(preset.bpd, config, ""), finetune, dagger)
    _check(result)
    return result


def _override(settings: Settings, config: DistillConfig, prefix: str) -> Settings:
    names = {field.name for field in fields(settings)}
    given: dict[str, Any] = {
        name: value for name in names if (value := getattr(config, prefix + name, None)) is not None
    }
    return replace(settings, **given)


def _check(preset: Preset) -> None:
    bpd = preset.bpd
    positive = {
        "steps": bpd.steps,
        "batch_size": bpd.batch_size,
        "learning_rate": bpd.learning_rate,
        "dagger_transitions": preset.dagger.transitions,
        "hidden layers": len(bpd.hidden),
        "narrowest hidden layer": min(bpd.hidden, default=0),
    }
    for name, value in positive.items():
        if not value > 0:
            raise UserError(f"{name} is {value}; it must be more than 0")
    not_negative = {
        "value_weight": bpd.value_weight,
        "kl_multiplier": bpd.kl_multiplier,
        "finetune_steps": preset.finetune.steps,
        "finetune_rounds": preset.finetune.rounds,
        "dagger_rounds": preset.dagger.rounds,
        "dagger_steps": preset.dagger.steps,
    }
    for name, value in not_negative.items():
        if not value >= 0:
            raise UserError(f"{name} is {value}; it must be 0 or more")
