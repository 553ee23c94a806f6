"""Measure the effect of a chip's arithmetic on the return: the same episodes with the model and
with the C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sparsectl.command_line.config import ChooseConfig
from sparsectl.common.errors import UserError
from sparsectl.common.ranges import check_counts
from sparsectl.common.scratch import scratch_folder
from sparsectl.export.config import ExportConfig
from sparsectl.export.host_c import load_c, load_recurrent_c
from sparsectl.export.packaging.registry import find_package
from sparsectl.export.pipeline import read_model
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.acting.states import Recurrent
from sparsectl.policy.load import load_acting
from sparsectl.training.environments.environments import chosen_environment, parts_of
from sparsectl.training.rollouts.evaluate import run_episodes, summarise
from sparsectl.training.rollouts.seeds import BLOCK


def check_closed_loop(config: ChooseConfig) -> None:
    """Check that there is an environment in which to run the policy's episodes.

    Raises:
        UserError: the policy names no environment, or the number of episodes is out of range.
    """
    check_counts(config, 1, "episodes", most=BLOCK)
    _environment_of(config.model, read_model(config).environment)


def _environment_of(policy: Path, named: str | None) -> str:
    if named is None:
        raise UserError(f"{policy} names no environment to run episodes in; leave --episodes out")
    try:
        environment = chosen_environment(None, (), (), named, policy)
    except UserError as error:
        raise UserError(
            f"{policy} was made in an environment of your own, and export imports none; leave "
            "--episodes out, and measure what export writes with `sparsectl evaluate --policy "
            f"FOLDER {parts_of(named).options}`"
        ) from error
    return str(environment)


def _in_c(policy: ActingPolicy, folder: Path, scratch: Path, prefix: str) -> Any:
    """Return a function that acts with the policy's C."""
    graph = policy.recurrent
    if graph is None:
        return load_c(folder, policy.action_size, scratch, prefix)
    c = load_recurrent_c(folder, graph.action_size, graph.state_size, scratch, prefix)
    return Recurrent(c.ticks, c.start)


def closed_loop(config: ExportConfig, episodes: int, seed: int) -> dict[str, Any]:
    """Return the return of policy.onnx in onnxruntime and of policy.c on this machine.

    Both meet the same units and starts. The C gives the same bits here as on every board that was
    verified, so its return is the board's.

    Args:
        config: the settings of the export that wrote the policy.
        episodes: number of episodes, at least 1.
        seed: the first episode's seed.

    Raises:
        UserError: the policy names no environment.
    """
    model = load_acting(config.out)
    environment = _environment_of(config.out, model.environment)
    c_folder = config.out / find_package(config.package).c_folder
    with scratch_folder("return") as scratch:
        acts = {
            "onnxruntime": model.acting,
            "host_c": _in_c(model, c_folder, scratch, config.prefix),
        }
        runs = {
            name: run_episodes(
                environment, act, episodes=episodes, seed=seed, progress=f"return of {name}"
            )
            for name, act in acts.items()
        }
    difference = runs["host_c"].returns - runs["onnxruntime"].returns
    return {name: summarise(run) for name, run in runs.items()} | {
        "environment": environment,
        "return_difference": float(difference.mean()),
        "greatest_return_difference": float(np.abs(difference).max()),
    }
