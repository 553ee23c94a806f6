"""Resolve the settings of a run: the preset's, changed by the method's, changed by the
command's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.common.memory import check_memory, dense_parameters
from sparsectl.policy.signals_json import image_of
from sparsectl.training.config import DistillConfig
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.distillation.interim import evidence_analyses
from sparsectl.training.distillation.limits import (
    check_keep,
    check_preset,
    check_ranges,
    check_reachable,
    check_rounding,
    check_search,
    check_searchable,
    check_targets,
)
from sparsectl.training.distillation.methods import METHODS, small_hidden, small_of_images
from sparsectl.training.distillation.presets import PRESETS, Preset, chosen_preset
from sparsectl.training.students.images import convolution_of, widths

Image = tuple[int, int, int]
"""Height, width and channels."""


def resolved(config: DistillConfig) -> Preset:
    """Return the preset's settings with the changes of method and config.

    A method's settings replace the preset's, and the config's replace both. Rounds of
    student-driven data are dropped if the config has no environment and teacher.

    Raises:
        UserError: a setting is out of range, or rounds are requested without a teacher.
    """
    preset, method = PRESETS[chosen_preset(config)], METHODS[config.method]
    online = config.env is not None and config.teacher is not None
    check_targets(config, online)
    bpd = replace(preset.bpd, **{**method.bpd, **_bpd_options(config)})
    finetune = replace(preset.finetune, **{**method.finetune, **_given(**vars(config.finetune))})
    dagger = replace(preset.dagger, **_given(**vars(config.dagger)))
    search = replace(preset.search, **_given(**vars(config.search)))
    if not online:
        finetune, dagger = replace(finetune, rounds=0), replace(dagger, rounds=0)
    result = Preset(
        bpd,
        finetune,
        dagger,
        preset.episodes if config.episodes is None else config.episodes,
        preset.final_episodes if config.final_episodes is None else config.final_episodes,
        search,
        online,
    )
    check_preset(result)
    check_ranges(config)
    check_rounding(config.keep, finetune)
    check_reachable(config, result)
    check_search(config, result)
    if not method.small:
        check_keep(config.keep, result.bpd.hidden)
    evidence_analyses(config)
    return result


def fitted(preset: Preset, config: DistillConfig, dataset: Dataset) -> Preset:
    """Return the preset with the hidden layers of a small network, which depend on the dataset's
    sizes.

    Raises:
        UserError: the networks do not fit into memory.
    """
    image = image_of(dataset.signals)
    preset = _small(preset, config, dataset)
    _check_image(preset, config, image)
    check_searchable(preset, dataset.has_choices, image)
    if dataset.has_choices:  # critics are of actions that are real numbers
        preset = replace(preset, bpd=replace(preset.bpd, value_weight=0.0))
    bpd = preset.bpd
    convolution = convolution_of(image, bpd.channels)
    after = (*bpd.hidden, dataset.label_size)
    sizes = widths(dataset.observations.shape[1], convolution, bpd.channels, after)
    # Means and variances, each with a gradient and Adam's two moments, and a copy of the best;
    # in a batch each layer's mean, deviation and noise, kept for the way back.
    patches = 0 if convolution is None else convolution.count * convolution.patch_size
    values = 10 * dense_parameters(sizes if convolution is None else sizes[1:])
    values += 6 * bpd.batch_size * (sum(sizes) + patches)
    check_memory(
        4 * values,
        f"hidden {' '.join(map(str, bpd.hidden))} with batches of {bpd.batch_size:,}",
        "give narrower layers or a smaller --batch-size",
    )
    return preset


def _check_image(preset: Preset, config: DistillConfig, image: Image | None) -> None:
    """Check that whole neurons are not to be cut if a convolution has a channel at many places."""
    if image is None:
        if config.channels is not None:
            raise UserError(
                f"channels is {config.channels}, but {config.dataset} has observations that are no "
                "images; leave it out"
            )
        return
    whole = preset.bpd.student == "group" or preset.finetune.score == "neuron"
    if preset.bpd.channels and (whole or preset.bpd.prior == "group-lasso"):
        raise UserError(
            f"method is {config.method}, which cuts whole neurons, but a student of images has a "
            "convolution, whose channels are many neurons each; use another, or --channels 0"
        )


def _small(preset: Preset, config: DistillConfig, dataset: Dataset) -> Preset:
    if not METHODS[config.method].small or not (config.keep or config.table_bytes):
        return preset
    sizes = dataset.observations.shape[1], dataset.label_size
    layers = len(preset.bpd.hidden)
    convolution = convolution_of(image_of(dataset.signals), preset.bpd.channels)
    if convolution is not None:
        channels, hidden = small_of_images(config, convolution, sizes[1], layers)
        return replace(preset, bpd=replace(preset.bpd, hidden=hidden, channels=channels))
    hidden = small_hidden(config, sizes, layers)
    return replace(preset, bpd=replace(preset.bpd, hidden=hidden))


def _bpd_options(config: DistillConfig) -> dict[str, Any]:
    """Return what the command line gives of `BpdSettings`, by field name."""
    return _given(
        steps=config.steps,
        hidden=config.hidden,
        channels=config.channels,
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
    """Return the options that are not left to the preset; `replace` refuses a name that its
    settings lack."""
    return {name: value for name, value in options.items() if value is not None}
