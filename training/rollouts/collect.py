"""`sparsectl collect`: record a teacher's transitions, labelled with its actions without noise."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.common.files import room_at, unwritable
from sparsectl.common.provenance import provenance
from sparsectl.common.ranges import check_counts, check_numbers
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.load import LoadOptions, load_acting
from sparsectl.training.config import CollectConfig
from sparsectl.training.data.dataset import VALUES_KIND, Dataset
from sparsectl.training.data.files import check_place, write_dataset
from sparsectl.training.data.npz import BYTES_LIMIT
from sparsectl.training.environments.environments import chosen_environment, parts_of
from sparsectl.training.rollouts.block import Behaviour
from sparsectl.training.rollouts.episodes import MOST_WORKERS, Rollouts
from sparsectl.training.rollouts.evaluate import check_policy
from sparsectl.training.rollouts.plausibility import warn_of_observations_outside
from sparsectl.training.rollouts.seeds import Series


def collect(config: CollectConfig) -> dict[str, Any]:
    """Roll the teacher out in parallel and write the dataset.

    Returns:
        dict: dataset (path), transitions, episodes, return_mean (of whole episodes), seconds.

    Raises:
        UserError: a setting, the teacher or the environment does not fit.
    """
    check_collect(config)
    started = time.monotonic()
    teacher = load_acting(
        config.teacher, LoadOptions(activation=config.activation, normalizer=config.normalizer)
    )
    env = chosen_environment(
        config.env, config.env_kwargs, config.wrapper, teacher.environment, config.teacher
    )
    assert env is not None
    config = replace(config, env=env)
    check_policy(teacher, env, config.teacher)
    if teacher.choices is not None and config.noise > 1:
        raise UserError(
            f"noise is {config.noise:g}; for choices it is the probability of a random one, so "
            "give at most 1"
        )
    _check_room(config, teacher)
    behaviour = Behaviour(teacher, noise=config.noise, noise_fraction=config.noise_fraction)
    with Rollouts(config.env, config.workers or os.cpu_count() or 1) as rollouts:
        dataset = rollouts.transitions(
            behaviour, (Series.COLLECT, config.seed), config.transitions, "collect"
        )
    warn_of_observations_outside(dataset, parts_of(config.env).id)
    dataset = replace(dataset, metadata=_metadata(config, teacher, dataset))
    write_dataset(config.out, dataset)
    ends = int((dataset.terminations | dataset.truncations).sum())
    return {
        "dataset": str(config.out),
        "transitions": len(dataset),
        "episodes": ends,
        "return_mean": float(dataset.rewards.sum(dtype="float64")) / ends,
        "seconds": time.monotonic() - started,
    }


def check_collect(config: CollectConfig) -> None:
    """Check the settings that need neither teacher nor environment.

    Raises:
        UserError: a setting is out of its range, or the dataset cannot be written there.
    """
    check_counts(config, 1, "transitions")
    check_counts(config, 0, "seed")
    check_counts(config, 0, "workers", most=MOST_WORKERS)
    check_numbers(config, "noise", least=0, most=10)
    check_numbers(config, "noise_fraction", least=0, most=1)
    check_place(config.out)


def _check_room(config: CollectConfig, teacher: ActingPolicy) -> None:
    """Check that so many transitions fit into a file and onto the disk."""
    observations, actions = teacher.observation_size, teacher.action_size
    choices = teacher.choices.count if teacher.choices else 0
    wanted = config.transitions * (4 * (2 * observations + 2 * actions + choices + 1) + 2)
    asked = f"transitions is {config.transitions}, which take {wanted:,} bytes"
    if wanted > BYTES_LIMIT:
        raise UserError(f"{asked}; a dataset has {BYTES_LIMIT:,} at most, so ask for fewer")
    if wanted > (room := room_at(config.out.parent)):
        full = OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({asked}, {room:,} are free)")
        raise UserError(unwritable(config.out, full))


def _metadata(config: CollectConfig, teacher: ActingPolicy, dataset: Dataset) -> dict[str, Any]:
    settings = {key: str(v) if isinstance(v, Path) else v for key, v in asdict(config).items()}
    return {
        "signals": dataset.signals,
        **_kind_of_values(dataset),
        "environment": config.env,
        "teacher": teacher.facts(),
        "seed": config.seed,
        "config": settings,
        "provenance": provenance(),
    }


def _kind_of_values(dataset: Dataset) -> dict[str, str]:
    """Return the kind of values that the teacher gives for each choice, if its actions are
    discrete."""
    return {key: dataset.metadata[key] for key in (VALUES_KIND,) if key in dataset.metadata}
