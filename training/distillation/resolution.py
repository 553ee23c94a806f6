"""The settings that a run takes: its preset's, its method's over them, the command's over both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sparsectl.common.memory import check_memory, dense_parameters
from sparsectl.training.config import DistillConfig
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.distillation.interim import evidence_analyses
from sparsectl.training.distillation.limits import (
    check_preset,
    check_ranges,
    check_reachable,
    check_rounding,
    check_targets,
)
from sparsectl.training.distillation.methods import METHODS, small_hidden
from sparsectl.training.distillation.presets import PRESETS, Preset, chosen_preset


def resolved(config: DistillConfig) -> Preset:
    """The preset's settings with what the config gives in their place.

    A method's settings stand over the preset's, and what the config gives over both. Rounds of
    student-driven data are dropped where the config has no environment and teacher.

    Raises:
        UserError: a setting is out of its range, or rounds are asked for without a teacher.
    """
    preset, method = PRESETS[chosen_preset(config)], METHODS[config.method]
    online = config.env is not None and config.teacher is not None
    check_targets(config, online)
    bpd = replace(preset.bpd, **{**method.bpd, **_bpd_options(config)})
    finetune = replace(preset.finetune, **{**method.finetune, **_given(**vars(config.finetune))})
    dagger = replace(preset.dagger, **_given(**vars(config.dagger)))
    if not online:
        finetune, dagger = replace(finetune, rounds=0), replace(dagger, rounds=0)
    result = Preset(
        bpd,
        finetune,
        dagger,
        preset.episodes if config.episodes is None else config.episodes,
        preset.final_episodes if config.final_episodes is None else config.final_episodes,
        online,
    )
    check_preset(result)
    check_ranges(config)
    check_rounding(config.keep, finetune)
    check_reachable(config, result)
    evidence_analyses(config)
    return result


def fitted(preset: Preset, config: DistillConfig, dataset: Dataset) -> Preset:
    """The preset with the hidden layers of a small network, which the dataset's sizes decide.

    Raises:
        UserError: what is to be trained does not fit into the memory.
    """
    preset = _small(preset, config, dataset)
    if dataset.choices is not None:  # critics are of actions that are real numbers
        preset = replace(preset, bpd=replace(preset.bpd, value_weight=0.0))
    bpd = preset.bpd
    sizes = (dataset.observations.shape[1], *bpd.hidden, dataset.label_size)
    # Means and variances, each with a gradient and Adam's two moments, and a copy of the best;
    # in a batch each layer's mean, deviation and noise, kept for the way back.
    values = 10 * dense_parameters(sizes) + 6 * bpd.batch_size * sum(sizes)
    check_memory(
        4 * values,
        f"hidden {' '.join(map(str, bpd.hidden))} with batches of {bpd.batch_size:,}",
        "give narrower layers or a smaller --batch-size",
    )
    return preset


def _small(preset: Preset, config: DistillConfig, dataset: Dataset) -> Preset:
    if not METHODS[config.method].small or not (config.keep or config.table_bytes):
        return preset
    sizes = dataset.observations.shape[1], dataset.label_size
    hidden = small_hidden(config, sizes, len(preset.bpd.hidden))
    return replace(preset, bpd=replace(preset.bpd, hidden=hidden))


def _bpd_options(config: DistillConfig) -> dict[str, Any]:
    """What the command line gives of `BpdSettings`, by the names of its fields."""
    return _given(
        steps=config.steps,
        hidden=config.hidden,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        units=config.units,
        imitation=config.imitation,
        value_weight=config.value_weight,
        kl_multiplier=config.kl_multiplier,
        kl_weights=config.kl_weights,
        kl_return=config.kl_return,
        kl_schedule=config.kl_schedule,
        noise=config.noise,
        prior=config.prior,
        prior_scale=config.prior_scale,
        log_alpha_threshold=config.log_alpha_threshold,
        critic_dtype=config.critic_dtype,
        discount=config.discount,
    )


def _given(**options: Any) -> dict[str, Any]:
    """Those that are not left to the preset; `replace` refuses a name that its settings lack."""
    return {name: value for name, value in options.items() if value is not None}
