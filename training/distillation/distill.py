"""`sparsectl distill`: a teacher's dataset in, a sparse student out.

This file checks and opens the command's input, and refuses what is wrong before work begins; run.py
contains the run itself, stage by stage.
"""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from sparsectl.common.errors import UserError
from sparsectl.common.files import check_file, check_writable
from sparsectl.common.folder_lock import locked_folder
from sparsectl.common.ranges import check_counts, check_numbers
from sparsectl.common.warning import warn
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.load import LoadOptions, load_acting
from sparsectl.training.config import DistillConfig
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.data.files import read_dataset
from sparsectl.training.data.tasks import check_tasks, joined_tasks
from sparsectl.training.distillation.limits import check_searchable
from sparsectl.training.distillation.methods import chosen_method
from sparsectl.training.distillation.presets import Preset, chosen_preset
from sparsectl.training.distillation.resolution import resolved
from sparsectl.training.distillation.run import CHECKPOINT, JSON, Distillation, TableBytes
from sparsectl.training.environments.environments import chosen_environment
from sparsectl.training.nn.devices import chosen_device
from sparsectl.training.nn.loop import stop_on_interrupt
from sparsectl.training.policy_distillation.heads import HeadsTerm, Term
from sparsectl.training.policy_distillation.term import (
    check_for_choices,
    check_for_real,
    check_loss,
    term_of,
)
from sparsectl.training.rollouts.episodes import MOST_WORKERS, Rollouts
from sparsectl.training.rollouts.evaluate import check_policy
from sparsectl.training.rollouts.plausibility import warn_of_another_teacher
from sparsectl.training.rollouts.seeds import BLOCK


def distill(config: DistillConfig, table_bytes: TableBytes | None = None) -> JSON:
    """Distil and write `student.safetensors` under `config.out`.

    Args:
        config: the settings.
        table_bytes: measures a student for `config.table_bytes`.

    Returns:
        dict: student (path), kept_weights, kept_parameters (biases too), teacher_weights,
        teacher_parameters, kept_fraction (of the weights), kept_parameters_fraction, seconds,
        chosen (the stage that the student is of), target_met (met, missed, unclear; None where
        no target was given), data (which states it learnt from), evidence (where there is an
        environment; evidence.py), and steps: for each stage its name, kept_weights,
        imitation_error and, in an environment, what `Measurement.of_stage` gives; the best three
        have some of other episodes too: final_return_mean

    Raises:
        UserError: a setting or file does not fit, training diverged or cut every weight.
        Stopped: SIGINT came; the same command resumes from there.
    """
    torch.set_num_threads(1)  # two threads collapse when another process is busy
    config, preset = check_distill(config)
    teacher: ActingPolicy | None = None
    term: Term | None
    if len(config.datasets) > 1:
        dataset, term = several_tasks(config)
    else:
        config = replace(config, dataset=config.datasets[0])
        dataset = read_dataset(config.datasets[0])
        of_dataset = dataset.metadata.get("environment")
        config = in_environment(config, of_dataset)
        teacher = _teacher(config)
        term = term_of(config, dataset, teacher)
        if None not in (config.env, of_dataset) and config.env != of_dataset:
            warn(f"the dataset was collected in {of_dataset}; returns are measured in {config.env}")
        if teacher is not None and config.teacher is not None:
            warn_of_another_teacher(teacher, dataset, config.teacher)
    with ExitStack() as stack:
        is_new = stack.enter_context(locked_folder(config.out))
        stack.enter_context(_without_leavings(config.out, is_new))
        stop = stack.enter_context(stop_on_interrupt())
        workers = config.workers or os.cpu_count() or 1
        rollouts = stack.enter_context(Rollouts(config.env, workers)) if config.env else None
        run = Distillation(config, preset, dataset, rollouts, stop, table_bytes, teacher, term)
        stack.callback(run.board.close)
        return run.run()


def check_distill(config: DistillConfig) -> tuple[DistillConfig, Preset]:
    """Check the settings that need neither dataset nor environment.

    Returns:
        The config with its method and preset by name, and the resulting settings.

    Raises:
        UserError: a setting is out of range or excludes another, or the student cannot be written
            there.
    """
    config = replace(config, method=chosen_method(config), preset=chosen_preset(config))
    preset = resolved(config)
    check_loss(config)
    check_counts(config, 0, "seed", most=BLOCK // 2)
    check_counts(config, 0, "workers", most=MOST_WORKERS)
    check_numbers(config, "checkpoint_seconds", least=0, most=1e9)
    check_writable(config.out)
    if config.critics is not None and not config.critics.is_file():
        check_file(config.critics, "--critics")
    chosen_device(config.device)
    importlib.import_module("torch.utils.tensorboard")  # of an extra: fails now, not after an hour
    return config, preset


def check_distill_in(config: DistillConfig, environment: str, chooses: bool) -> None:
    """Check that the settings suit a dataset that is still to be collected in an environment.

    chooses: whether the environment's actions are choices.

    Raises:
        UserError: a setting is for actions of the other kind.
    """
    config, preset = check_distill(config)
    check = check_for_choices if chooses else check_for_real
    check(config, environment)
    check_searchable(preset, chooses, None)


def several_tasks(config: DistillConfig) -> tuple[Dataset, HeadsTerm]:
    """Return the joined datasets of several tasks, and the loss over their heads.

    Raises:
        UserError: they do not fit one student or the memory, or a setting applies to a single task
            only.
    """
    of_one = ("env", "teacher", "critics", "normalizer")
    for name in of_one:
        if (value := getattr(config, name)) is not None:
            raise UserError(
                f"{name} is {value}, which is for one task, but {len(config.datasets)} datasets "
                "are given; leave it out, and measure each task with `sparsectl evaluate --task`"
            )
    datasets = [read_dataset(path) for path in config.datasets]
    check_tasks(datasets, config.datasets)
    heads, terms = tuple(dataset.label_size for dataset in datasets), []
    for path, dataset in zip(config.datasets, datasets, strict=True):
        term = term_of(replace(config, dataset=path), dataset, None)
        assert term is not None  # check_tasks has seen to that
        terms.append(term)
    del dataset  # joined_tasks lets go of each when it has its rows
    return joined_tasks(datasets, config.datasets), HeadsTerm(tuple(terms), heads)


@contextmanager
def _without_leavings(out: Path, is_new: bool) -> Iterator[None]:
    """Run a block that leaves nothing in a new folder if it fails before its first checkpoint."""
    try:
        yield
    except BaseException:
        if is_new and not (out / CHECKPOINT).exists():
            shutil.rmtree(out, ignore_errors=True)
        raise


def _teacher(config: DistillConfig) -> ActingPolicy | None:
    """Load the teacher and check that it fits the environment.

    Raises:
        UserError: the teacher does not load or does not fit.
    """
    if config.teacher is None:
        if config.normalizer is not None:
            raise UserError(f"normalizer {config.normalizer} needs its teacher; give --teacher too")
        return None
    teacher = load_acting(config.teacher, LoadOptions(normalizer=config.normalizer))
    if config.env is not None:
        check_policy(teacher, config.env, config.teacher)
    return teacher


def in_environment(config: DistillConfig, of_dataset: str | None) -> DistillConfig:
    """Return the config with the environment's complete name in `env`.

    Raises:
        UserError: the environment's options do not fit together.
    """
    if config.env is None:
        if config.env_kwargs or config.wrapper:
            raise UserError("env-kwargs and wrapper need their environment; give --env too")
        return config
    env = chosen_environment(
        config.env, config.env_kwargs, config.wrapper, of_dataset, config.datasets[0]
    )
    return replace(config, env=env, env_kwargs=(), wrapper=())
