"""Two policies compared in the same episodes, with the interval of their difference.

Both episodes of a pair have the same start and the same draws, so chance affects both alike, and
their difference needs far fewer episodes than two separate means would.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.actor_file import is_actor
from sparsectl.policy.load import LoadOptions, load_acting
from sparsectl.policy.student import is_of_several_tasks
from sparsectl.training.config import EvaluateConfig
from sparsectl.training.environments.environments import chosen_environment
from sparsectl.training.rollouts.evaluate import (
    check_policy,
    check_settings,
    run_episodes,
    summarise,
)
from sparsectl.training.rollouts.intervals import mean_interval

A_BETTER, B_BETTER, ALIKE, OPEN = "A is better", "B is better", "no difference", "not clear yet"


def compare(config: EvaluateConfig, paths: tuple[Path, Path]) -> dict[str, Any]:
    """Run both policies in the same episodes.

    Returns:
        dict: policies {a, b} (what `evaluate` says of each), difference (mean of A less B),
        difference_low and difference_high (95 % of it), answer, episodes, env, seed, and returns
        {a, b} of each episode.

    Raises:
        UserError: a policy or the environment does not load, or they do not fit.
    """
    check_settings(config)
    if config.normalizer is not None and not any(map(is_actor, paths)):
        raise UserError(
            f"normalizer {config.normalizer} is for a file of Stable-Baselines3 or CleanRL, and "
            f"neither {paths[0]} nor {paths[1]} is one; leave it out"
        )
    several = [is_of_several_tasks(path) for path in paths]
    if config.task is not None and not any(several):
        raise UserError(
            f"task is {config.task}, but neither {paths[0]} nor {paths[1]} is a student of several "
            "tasks; leave it out"
        )
    policies = [_loaded(config, path, of) for path, of in zip(paths, several, strict=True)]
    env_id = _environment(config, paths, policies)
    for path, policy in zip(paths, policies, strict=True):
        check_policy(policy, env_id, path)
    a, b = (
        run_episodes(
            env_id, policy.acting, episodes=config.episodes, seed=config.seed, progress=str(path)
        )
        for path, policy in zip(paths, policies, strict=True)
    )
    differences = a.returns - b.returns
    low, high = mean_interval(differences)
    answer = A_BETTER if low > 0 else B_BETTER if high < 0 else OPEN
    if not differences.any():  # the same return in every episode: more of them would not tell
        answer = ALIKE
    return {
        "policies": {
            "a": {"policy": str(paths[0]), **summarise(a)},
            "b": {"policy": str(paths[1]), **summarise(b)},
        },
        "difference": float(differences.mean()),
        "difference_low": low,
        "difference_high": high,
        "answer": answer,
        "episodes": config.episodes,
        "env": env_id,
        "seed": config.seed,
        "returns": {"a": a.returns.tolist(), "b": b.returns.tolist()},
    }


def _loaded(config: EvaluateConfig, path: Path, of_several_tasks: bool) -> ActingPolicy:
    """Load a policy; only files of RL libraries need a separate normaliser, and only a student of
    several tasks one of these."""
    normalizer = config.normalizer if is_actor(path) else None
    task = config.task if of_several_tasks else None
    return load_acting(path, LoadOptions(normalizer=normalizer, task=task, environment=config.env))


def _environment(
    config: EvaluateConfig, paths: tuple[Path, Path], policies: list[ActingPolicy]
) -> str:
    """Return the environment for both: the one that was asked for, else the one that either names.

    Raises:
        UserError: none is known, or they name different ones.
    """
    found: dict[str, Path] = {}
    for path, policy in zip(paths, policies, strict=True):
        if config.env is not None or policy.environment is not None:
            env = chosen_environment(
                config.env, config.env_kwargs, config.wrapper, policy.environment, path
            )
            assert env is not None
            found.setdefault(env, path)
    if not found:
        raise UserError("neither policy names an environment; give one with --env")
    if len(found) > 1:
        (one, a), (other, b) = found.items()
        raise UserError(f"{a} was made in {one}, {b} in {other}; name one for both with --env")
    return next(iter(found))
