"""Measure the return of a policy in an environment, with a confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path, check_file
from sparsectl.common.progress import Progress
from sparsectl.common.ranges import check_counts
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.acting.states import Act, Recurrent, States, alone
from sparsectl.policy.load import LoadOptions, load_acting
from sparsectl.training.config import EvaluateConfig
from sparsectl.training.environments.checked_environment import own_attribute
from sparsectl.training.environments.environments import chosen_environment, make_environment
from sparsectl.training.environments.signals import environment_signals
from sparsectl.training.rollouts.episodes import check_fit
from sparsectl.training.rollouts.intervals import cvar_figures, mean_interval
from sparsectl.training.rollouts.plausibility import (
    warn_of_ignored_seed,
    warn_of_lost_normaliser,
    warn_of_unscaled_actions,
)
from sparsectl.training.rollouts.running import RunningEpisode
from sparsectl.training.rollouts.seeds import BLOCK, Series, episode_seed
from sparsectl.training.rollouts.together import SIDE_BY_SIDE, together


@dataclass(frozen=True)
class Episodes:
    """The results of a batch of episodes, arrays of shape [episodes]."""

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.bool_] | None
    """None where the environment neither says `is_success` nor registers a reward threshold."""


def run_episodes(
    env_id: str,
    act: Act | Recurrent,
    *,
    episodes: int,
    seed: int,
    series: Series = Series.EVALUATION,
    env_kwargs: dict[str, Any] | None = None,
    progress: str | None = None,
) -> Episodes:
    """Run whole episodes side by side, one environment each, the policy on the batch of them.

    Episode i is number `seed + i` of the series, so two policies meet the same units and starts.

    Raises:
        UserError: there is no such episode.
    """
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    said: list[bool | None] = []
    probe = make_environment(env_id, env_kwargs)
    threshold = probe.spec.reward_threshold if probe.spec else None
    longest = (probe.spec and probe.spec.max_episode_steps) or _own_limit(probe)
    probe.close()
    with Progress(total=0, desc=progress, unit="step", disable=progress is None) as bar:
        for first in range(0, episodes, SIDE_BY_SIDE):
            block = range(first, min(first + SIDE_BY_SIDE, episodes))
            numbers = [seed + i for i in block]
            side_by_side = together(env_id, env_kwargs, series, numbers)
            if isinstance(act, Recurrent):
                states = States(act, len(block))
            while not side_by_side.is_over.all():
                running = ~side_by_side.is_over
                ended = np.concatenate([lengths[:first], lengths[first : block.stop][~running]])
                bar.total = expected_steps(ended, int(running.sum()), episodes, longest)
                observed = side_by_side.observations[running]
                if isinstance(act, Recurrent):
                    given = states.act(observed, np.flatnonzero(running))
                else:
                    given = act(observed)
                actions = np.zeros((len(block), *given.shape[1:]), given.dtype)
                actions[running] = given
                steps = side_by_side.step(actions)
                returns[first : block.stop][running] += steps.rewards[running]
                lengths[first : block.stop][running] += 1
                bar.update(len(given))
            said += side_by_side.successes
    return Episodes(returns, lengths, successes_of(said, returns, threshold))


def _own_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    """Return the limit of an environment that ends its episodes without Gymnasium's wrapper."""
    limit = own_attribute(env.unwrapped, "max_episode_steps")
    return limit if isinstance(limit, int) and limit > 0 else None


def expected_steps(
    ended: NDArray[np.int64], running: int, episodes: int, longest: int | None
) -> int | None:
    """Steps that all episodes take, of which the time left follows.

    Episodes run side by side, so that all may end at once; the number of those that have ended says
    little. One that runs is taken to go on to the environment's limit, one that has not begun to be
    as long as those that ended.

    Args:
        ended: lengths of the episodes that have ended.
        running: episodes that have begun and go on.
        episodes: all of them.
        longest: steps after which the environment ends an episode; None: it never does.

    Returns:
        int | None: None where nothing is known of the length.
    """
    mean = float(ended.mean()) if len(ended) else longest
    if mean is None:
        return None
    waiting = episodes - len(ended) - running
    return int(ended.sum() + running * (longest or mean) + waiting * mean)


def successes_of(
    said: Sequence[bool | None], returns: NDArray[np.float64], threshold: float | None
) -> NDArray[np.bool_] | None:
    """Return which episodes succeeded, as the environment says it, or else by its registered
    threshold.

    Args:
        said: `info["is_success"]` at each episode's end, None where it was not there.
        returns: of the episodes.
        threshold: the `reward_threshold` that the environment was registered with, if any.
    """
    if said and all(one is not None for one in said):
        return np.array(said, np.bool_)
    return None if threshold is None else returns >= threshold


def summarise(episodes: Episodes) -> dict[str, Any]:
    """The keys that `sparsectl evaluate` promises.

    `success_rate` is there only where success is defined. `cvar_1`, the mean of the worst
    hundredth, is None below 500 episodes; the least of them, `return_min`, is mostly luck.
    """
    low, high = mean_interval(episodes.returns)
    summary = {
        "return_mean": float(episodes.returns.mean()),
        "return_low": low,
        "return_high": high,
        "return_min": float(episodes.returns.min()),
        **cvar_figures(episodes.returns),
    }
    if episodes.successes is not None:
        summary["success_rate"] = float(episodes.successes.mean())
    return summary | {"episodes": len(episodes.returns)}


def plant_of(env: gymnasium.Env[Any, Any], env_id: str) -> Any:
    """Return the plant of one of this project's environments.

    Raises:
        UserError: it is none of them.
    """
    from sparsectl.plants.plant import Plant

    plant = own_attribute(env.unwrapped, "plant")
    if not isinstance(plant, Plant):
        raise UserError(f"{env_id} has no plant to trace; traces are of sparsectl's own rigs")
    return plant


def trace_episode(
    env_id: str, act: Act | Recurrent, *, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Return one episode of a plant's environment as arrays over time, which the report draws."""
    env = make_environment(env_id)
    plant = plant_of(env, env_id)
    duties = plant.motor.duties
    episode, rows = RunningEpisode(env, episode_seed(Series.EVALUATION, seed)), []
    choose = alone(act)
    while not episode.is_over:
        action = choose(episode.observation[None])[0]
        episode.step(action)
        position, _, angle_rad, _ = plant.state()
        duty = duties[int(action[0])] if duties else float(action[0])
        rows.append((plant.time_s, position, angle_rad, duty))
    env.close()
    columns = np.array(rows).T
    names = ("time_s", "base_position", "pole_angle_rad", "duty")
    return dict(zip(names, columns, strict=True))


def evaluate(
    config: EvaluateConfig,
    progress: str | None = "evaluate",
    series: Series = Series.EVALUATION,
) -> dict[str, Any]:
    """Run `sparsectl evaluate`; `progress` names the bar, none where it is None.

    `series`: whose episodes; those of `evaluate` report, and nothing may be chosen by them.

    Raises:
        UserError: the policy or the environment does not load, or they do not fit each other.
    """
    check_settings(config)
    if config.policy is None:
        raise UserError("no policy is given: name one with --policy, or two with --compare A B")
    policy = load_acting(
        config.policy,
        LoadOptions(normalizer=config.normalizer, task=config.task, environment=config.env),
    )
    env_id = chosen_environment(
        config.env, config.env_kwargs, config.wrapper, policy.environment, config.policy
    )
    if env_id is None:
        raise UserError(f"{config.policy} names no environment; give one with --env")
    check_policy(policy, env_id, config.policy)
    if config.trace is not None:
        _check_traceable(env_id)
    episodes = run_episodes(
        env_id,
        policy.acting,
        episodes=config.episodes,
        seed=config.seed,
        series=series,
        progress=progress,
    )
    if config.trace is not None:
        save_trace(config.trace, trace_episode(env_id, policy.acting, seed=config.seed))
    return summarise(episodes) | {
        "returns": episodes.returns.tolist(),
        "env": env_id,
        "policy": str(config.policy),
        "seed": config.seed,
    }


def _check_traceable(env_id: str) -> None:
    env = make_environment(env_id)
    plant_of(env, env_id)
    env.close()


def check_settings(config: EvaluateConfig) -> None:
    """Check what does not need the policy.

    Raises:
        UserError: a setting is out of its range, or the trace cannot be written.
    """
    check_counts(config, 1, "episodes", most=BLOCK)
    check_counts(config, 0, "seed", most=BLOCK)
    if config.trace is not None:
        check_file(trace_file(config.trace), "--trace")


def check_policy(policy: ActingPolicy, env_id: str, source: Path) -> None:
    """Check that a policy fits an environment; warn of a normaliser or a scaling of the actions
    that seem to be lost, and of an environment that ignores seeds.

    Raises:
        UserError: it does not, or the environment cannot be made, or raises in its first steps.
    """
    probe = make_environment(env_id)
    signals = environment_signals(probe)
    check_fit(policy, signals, env_id)
    warn_of_ignored_seed(probe, signals, env_id)
    warn_of_lost_normaliser(policy, probe, source)
    warn_of_unscaled_actions(policy, signals, env_id, source)
    probe.close()


def trace_file(path: Path) -> Path:
    """Return the path of the `.npz` of that name."""
    return path.with_suffix(".npz") if path.name else path


def save_trace(path: Path, trace: dict[str, NDArray[np.float64]]) -> None:
    """Write a trace as `.npz`."""
    with atomic_path(trace_file(path)) as temporary:
        np.savez(temporary, **trace)  # type: ignore[arg-type]
