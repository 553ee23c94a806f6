"""The return of a policy in an environment, with a confidence interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path
from sparsectl.common.progress import Progress
from sparsectl.training.config import EvaluateConfig
from sparsectl.training.environments import chosen_environment, make_environment
from sparsectl.training.policy import Policy, load_policy
from sparsectl.training.rollouts import check_fit
from sparsectl.training.signals import environment_signals

Act = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Observations [episodes, n] to actions [episodes, m], in the environment's units."""


@dataclass(frozen=True)
class Episodes:
    """What a batch of episodes gave, arrays of shape [episodes]."""

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.bool_]


def run_episodes(
    env_id: str,
    act: Act,
    *,
    episodes: int,
    seed: int,
    env_kwargs: dict[str, Any] | None = None,
    progress: str | None = None,
) -> Episodes:
    """Run whole episodes side by side, one environment each, the policy on the batch of them.

    Episode i is seeded with `seed + i`, so two policies meet the same units and starts.
    """
    envs = [make_environment(env_id, env_kwargs) for _ in range(episodes)]
    observations = np.stack([env.reset(seed=seed + i)[0] for i, env in enumerate(envs)])
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    successes = np.zeros(episodes, np.bool_)
    running = list(range(episodes))
    bar = Progress(total=episodes, desc=progress, unit="episode", disable=progress is None)
    while running:
        actions = act(observations[running].astype(np.float32))
        still = []
        for i, action in zip(running, actions, strict=True):
            observations[i], reward, terminated, truncated, info = envs[i].step(action)
            returns[i] += float(reward)
            lengths[i] += 1
            if terminated or truncated:
                successes[i] = bool(info.get("is_success", not terminated))
                bar.update()
            else:
                still.append(i)
        running = still
    bar.close()
    for env in envs:
        env.close()
    return Episodes(returns, lengths, successes)


def mean_interval(values: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean (BCa; percentile where BCa is degenerate)."""
    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    result = stats.bootstrap(
        (values,), np.mean, confidence_level=0.95, rng=np.random.default_rng(seed)
    )
    low, high = result.confidence_interval
    return float(low), float(high)


def summarise(episodes: Episodes) -> dict[str, Any]:
    """The keys that `sparsectl evaluate` promises."""
    low, high = mean_interval(episodes.returns)
    return {
        "return_mean": float(episodes.returns.mean()),
        "return_low": low,
        "return_high": high,
        "return_min": float(episodes.returns.min()),
        "success_rate": float(episodes.successes.mean()),
        "episodes": len(episodes.returns),
    }


def trace_episode(env_id: str, act: Act, *, seed: int) -> dict[str, NDArray[np.float64]]:
    """One episode of a plant's environment as arrays over time: what the report draws."""
    env = make_environment(env_id)
    plant = getattr(env.unwrapped, "plant", None)
    if plant is None:
        raise UserError(f"{env_id} has no plant to trace; traces are of sparsectl's own rigs")
    observation, _ = env.reset(seed=seed)
    rows, done = [], False
    while not done:
        action = act(observation[None].astype(np.float32))[0]
        observation, _, terminated, truncated, _ = env.step(action)
        position, _, angle_rad, _ = plant.state()
        rows.append((plant.time_s, position, angle_rad, float(action[0])))
        done = terminated or truncated
    env.close()
    columns = np.array(rows).T
    names = ("time_s", "base_position", "pole_angle_rad", "duty")
    return dict(zip(names, columns, strict=True))


def evaluate(config: EvaluateConfig, progress: str | None = "evaluate") -> dict[str, Any]:
    """Run `sparsectl evaluate`; `progress` names the bar, none where it is None.

    Raises:
        UserError: the policy or the environment does not load, or they do not fit each other.
    """
    policy = load_policy(config.policy)
    env_id = chosen_environment(
        config.env, config.env_kwargs, config.wrapper, policy.environment, config.policy
    )
    if env_id is None:
        raise UserError(f"{config.policy} names no environment; give one with --env")
    check_policy(policy, env_id)
    episodes = run_episodes(
        env_id, policy.act, episodes=config.episodes, seed=config.seed, progress=progress
    )
    if config.trace is not None:
        save_trace(config.trace, trace_episode(env_id, policy.act, seed=config.seed))
    return summarise(episodes) | {"env": env_id, "policy": str(config.policy), "seed": config.seed}


def check_policy(policy: Policy, env_id: str) -> None:
    """Check that a policy fits an environment.

    Raises:
        UserError: it does not, or the environment cannot be made.
    """
    probe = make_environment(env_id)
    check_fit(policy, environment_signals(probe), env_id)
    probe.close()


def save_trace(path: Path, trace: dict[str, NDArray[np.float64]]) -> None:
    """Write a trace as `.npz`."""
    with atomic_path(path.with_suffix(".npz")) as temporary:
        np.savez(temporary, **trace)  # type: ignore[arg-type]
