"""Warn before work starts if a policy's observations differ from those that it was trained on, or
if it is not the teacher of a dataset.

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
from sparsectl.training.rollouts.running import RunningEpisode
from sparsectl.training.rollouts.seeds import Series, episode_seed

STEPS = 200
SATURATED = 4.0
"""A tanh of this argument has a derivative below 0.0014."""

SATURATED_SHARE = 0.9
COMPARED, ANOTHER = 1_000, 0.05
"""Rows of a dataset by which teachers are compared, and the share that may differ."""
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
