"""Warn before work starts if a policy's observations or actions differ from those that it was
trained with, if it is not the teacher of a dataset, or if an environment ignores the seeds of its
episodes.

A missing normaliser does not show in the sizes of arrays. It shows in the first layer: its sums are
of the order of one to ten for inputs as in training; otherwise they saturate a tanh, or grow with
the inputs' scale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from sparsectl.common.warning import warn
from sparsectl.policy.acting.networks import Array, Mlp
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.signals_json import normaliser
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.environments.environments import parts_of, rig_of
from sparsectl.training.rollouts.running import RunningEpisode
from sparsectl.training.rollouts.seeds import Series, episode_seed

STEPS = 200
SATURATED = 4.0
"""A tanh of this argument has a derivative below 0.0014."""

SATURATED_SHARE = 0.9
COMPARED, ANOTHER = 1_000, 0.05
"""Rows of a dataset by which teachers are compared, and the share that may differ."""
SAME = (1e-4, 1e-6)
"""Relative and absolute difference up to which two numbers are the same; simulators that begin
their iterations where the last episode ended differ in the last digits."""
COMPARED_STEPS = 20
OUTSIDE = 1e-3
"""Share of a limit by which an observation may exceed it, as integrators let it."""
PROBED = np.geomspace(1.0, 1e4, 256)
"""Sizes of the observations that show how far a policy's actions reach."""
ONE = 1e-3
"""How near to 1 actions come that end in a tanh."""
LARGE = 50.0
"""A root mean square of a first layer's sums that exceeds what inputs in training cause."""


def warn_of_lost_normaliser(
    policy: ActingPolicy, environment: gymnasium.Env[Any, Any], source: Path
) -> None:
    """Step the environment a little with the policy, and warn if its first layer shows unusual
    inputs."""
    if isinstance(policy.network, Mlp):
        text = far_off(policy.network, observations_of(policy, environment))
        if text is not None:
            warn(
                f"{source}: {text}; if it was trained with VecNormalize or another normaliser, "
                "give that with --normalizer"
            )


def warn_of_unscaled_actions(
    policy: ActingPolicy, signals: dict[str, Any], env_id: str, source: Path
) -> None:
    """Warn of a policy whose actions reach from -1 to 1, as those that end in a tanh do, in an
    environment with other bounds."""
    *_, low, high = normaliser(signals)
    bounded = bool(np.isfinite([low, high]).all())
    if policy.choices is not None or policy.recurrent is not None or not bounded:
        return
    if (low == -1).all() and (high == 1).all():
        return
    rng = np.random.default_rng(0)
    some = rng.normal(size=(len(PROBED), policy.observation_size)) * PROBED[:, None]
    actions = policy.act(some.astype(np.float32))
    ends = np.stack([-actions.min(axis=0), actions.max(axis=0)])
    if (np.abs(ends - 1) < ONE).all():
        bounds = ", ".join(f"{a:g} to {b:g}" for a, b in sorted({*zip(low, high, strict=True)}))
        warn(
            f"{source}: its actions reach from -1 to 1, but {env_id} takes {bounds}; if it was "
            "trained on actions that are scaled to that, as the actors of SAC, TD3 and DDPG in "
            "Stable-Baselines3 are, export it with the scaling in it, or give the zip"
        )


def warn_of_another_teacher(teacher: ActingPolicy, dataset: Dataset, source: Path) -> None:
    """Warn if a teacher's file is not the one that labelled the dataset, and acts otherwise too:
    what it labels in the student's rollouts would contradict the dataset."""
    known = dataset.metadata.get("teacher")
    labelled_by = known.get("sha256") if isinstance(known, dict) else None
    if labelled_by in (None, teacher.sha256) or teacher.recurrent is not None:
        return
    rows = np.linspace(0, len(dataset) - 1, min(len(dataset), COMPARED), dtype=np.int64)
    labels, actions = dataset.teacher_actions[rows], teacher.act(dataset.observations[rows])
    if teacher.choices is not None:
        share = float((actions != labels).mean())
        text = f"chooses differently from its labels in {share:.0%} of {len(rows):,} rows"
    else:
        _, _, offset, scale, low, high = normaliser(dataset.signals)
        share = float(np.abs((np.clip(actions, low, high) - labels) / scale).mean()) / 2
        text = f"differs from its labels by {share:.0%} of the actions' range on average"
    if share > ANOTHER:
        warn(
            f"{source} is not the teacher that labelled the dataset and {text}, so that its labels "
            "of the student's own data contradict the dataset; give the teacher that the dataset "
            "was collected from, or collect from this one"
        )


def warn_of_ignored_seed(
    environment: gymnasium.Env[Any, Any], signals: dict[str, Any], env_id: str
) -> None:
    """Step two episodes of one seed a little with the same actions, and warn if they differ; rigs
    of this project heed their seeds."""
    if rig_of(env_id) is not None:
        return
    action = normaliser(signals)[2]
    first, second = (_beginning(environment, action) for _ in range(2))
    for step, ((seen, earned), (seen_again, earned_again)) in enumerate(
        zip(first, second, strict=False)
    ):
        if np.allclose(seen, seen_again, *SAME) and np.isclose(earned, earned_again, *SAME):
            continue
        worst = int(np.argmax(np.abs(seen - seen_again)))
        what = f"observation {signals['observation'][worst]['name']}"
        one, other = seen[worst], seen_again[worst]
        if np.allclose(seen, seen_again, *SAME):
            what, one, other = "the reward", earned, earned_again
        where = f"after {step} steps" if step else "at the start"
        warn(
            f"{parts_of(env_id).id}: two episodes of one seed differ: with the same actions "
            f"{what} is {one:g} and {other:g} {where}. It ignores reset(seed), or keeps something "
            "from the last episode, so that results cannot be repeated, and policies that are "
            "compared do not meet the same episodes; let reset call super().reset(seed=seed) and "
            "make everything anew, and draw random numbers from self.np_random alone"
        )
        return


def _beginning(environment: gymnasium.Env[Any, Any], action: Array) -> list[tuple[Array, float]]:
    """Return the first observations of an episode, each with the reward that came with it."""
    episode = RunningEpisode(environment, episode_seed(Series.PROBE, 1))
    steps = [(episode.observation, 0.0)]
    while len(steps) <= COMPARED_STEPS and not episode.is_over:
        step = episode.step(action)
        steps.append((step.after, step.reward))
    return steps


def warn_of_observations_outside(dataset: Dataset, name: str) -> None:
    """Warn if observations lie outside the limits that the environment's space has for them."""
    for index, entry in enumerate(dataset.signals["observation"]):
        low, high = entry["low"], entry["high"]
        values = dataset.observations[:, index]
        room = OUTSIDE * max(abs(end) for end in (low, high, 0.0) if end is not None)
        outside = np.zeros(len(values), np.bool_)
        if low is not None:
            outside |= values < low - room
        if high is not None:
            outside |= values > high + room
        if not outside.any():
            continue
        space = f"{_end(low, '-inf')} to {_end(high, 'inf')}"
        warn(
            f"{name} gave {entry['name']} from {values.min():g} to {values.max():g}, outside its "
            f"observation_space ({space}) in {outside.mean():.2%} of the transitions; correct the "
            "space: what saturates its inputs, as fixed-point encodings do, saturates them at its "
            "limits"
        )
        return


def _end(limit: float | None, unlimited: str) -> str:
    return unlimited if limit is None else f"{limit:g}"


def observations_of(policy: ActingPolicy, environment: gymnasium.Env[Any, Any]) -> Array:
    """Return a policy's observations in its first steps, [STEPS, n]."""
    rows: list[Array] = []
    episode = RunningEpisode(environment, episode_seed(Series.PROBE, 0))
    while len(rows) < STEPS:
        if episode.is_over:
            episode = RunningEpisode(environment)
        rows.append(episode.observation)
        episode.step(policy.act(episode.observation[None])[0])
    return np.stack(rows)


def far_off(network: Mlp, observations: Array) -> str | None:
    """Describe what is unusual about a first layer's sums for these observations [N, n]; None:
    nothing."""
    normalised = (observations - network.observation_offset) / network.observation_scale
    if network.convolution is not None:
        normalised = network.convolution.patches(normalised)
    sums = normalised @ network.weights[0].T + network.biases[0]
    if len(network.weights) == 1:
        return None
    if network.activations[0] in ("tanh", "sigmoid"):
        share = float((np.abs(sums) > SATURATED).mean())
        if share > SATURATED_SHARE:
            return f"{share:.0%} of its first layer is saturated by this environment's observations"
    size = float(np.sqrt((sums.astype(np.float64) ** 2).mean()))
    if size > LARGE:
        return f"its first layer's sums are {size:.0f} in this environment, in place of 1 to 10"
    return None
