"""What a chip's arithmetic does to the return: the same episodes with the model and with the C."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.export.host_c import load_c
from sparsectl.training.environments import chosen_environment
from sparsectl.training.evaluate import run_episodes, summarise
from sparsectl.training.policy import load_policy


def closed_loop(policy: Path, episodes: int, seed: int) -> dict[str, Any]:
    """The return of policy.onnx in onnxruntime and of policy.c on this machine.

    Both meet the same units and starts. The C gives the same bits here as on every board that was
    verified, so its return is the board's.

    Args:
        policy: what `export` wrote.
        episodes: how many, at least 1.
        seed: of the first episode.

    Raises:
        UserError: the policy names no environment, or episodes is not positive.
    """
    if episodes < 1:
        raise UserError(f"episodes is {episodes}; run at least one")
    model = load_policy(policy)
    environment = chosen_environment(None, (), (), model.environment, policy)
    if environment is None:
        raise UserError(f"{policy} names no environment to run episodes in; leave --episodes out")
    with tempfile.TemporaryDirectory(prefix="sparsectl-") as scratch:
        acts = {
            "onnxruntime": model.act,
            "host_c": load_c(policy, model.action_size, Path(scratch)),
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
