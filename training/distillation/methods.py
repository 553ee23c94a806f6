"""The methods of making a student, by name: the paper's, its variants, and baselines.

All methods share data, rounds of student-driven data, fine-tuning and measurement; a method
determines the first training and the criterion by which weights are cut.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import log
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.policy.convolution import Convolution
from sparsectl.training.config import DistillConfig, MethodName
from sparsectl.training.data.dataset import Dataset

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Method:
    """The settings that a method changes in a preset.

    Attributes:
        summary: one line for the user.
        bpd: changed fields of `BpdSettings`.
        finetune: changed fields of `FinetuneSettings`.
        small: whether the student is a dense network of the requested size, of which nothing is
            cut.
        imitates: the teacher's labels, or the actions that were executed.
    """

    summary: str
    bpd: Settings = field(default_factory=dict)
    finetune: Settings = field(default_factory=dict)
    small: bool = False
    imitates: str = "labels"

    def imitated(self, dataset: Dataset) -> Dataset:
        """Return the dataset with the actions to imitate as `teacher_actions`."""
        if self.imitates == "labels":
            return dataset
        return replace(dataset, teacher_actions=dataset.actions)


PLAIN: Settings = {"student": "deterministic", "value_weight": 0.0, "kl_multiplier": 0.0}
"""A deterministic student that only imitates."""

METHODS: dict[str, Method] = {
    "bpd": Method("Bayesian Policy Distillation: variational dropout on each weight"),
    "group": Method(
        "the same with dropout on whole neurons (Louizos et al. 2017): small and dense",
        {"student": "group"},
        {"score": "neuron"},
    ),
    "deterministic": Method(
        "the same without noise and divergence; the weights that add least are removed gradually",
        {"student": "deterministic", "kl_multiplier": 0.0},
    ),
    "gradual": Method("imitation, then the weights that add least are removed gradually", PLAIN),
    "policy-distillation": Method(
        "imitation of a teacher that chooses (Rusu et al. 2015), then pruning as in `gradual`",
        PLAIN,
    ),
    "magnitude": Method(
        "imitation, then the smallest weights are removed gradually", PLAIN, {"score": "magnitude"}
    ),
    "one-shot": Method(
        "imitation, then the smallest weights are removed at once",
        PLAIN,
        {"score": "magnitude", "prune_rounds": 1, "cuts": 1},
    ),
    "neurons": Method(
        "imitation, then whole neurons are removed gradually: small and dense",
        PLAIN,
        {"score": "neuron"},
    ),
    "l1": Method(
        "imitation with an L1 penalty, then the smallest weights are removed gradually",
        {**PLAIN, "prior": "l1", "kl_multiplier": 1.0},
        {"score": "magnitude"},
    ),
    "group-lasso": Method(
        "imitation with a group lasso on neurons, then whole neurons are removed gradually",
        {**PLAIN, "prior": "group-lasso", "kl_multiplier": 1.0},
        {"score": "neuron"},
    ),
    "small": Method("a small dense network from scratch", PLAIN, small=True),
    "td3bc": Method(
        "TD3+BC (Fujimoto and Gu 2021) of the student's size, on the executed actions",
        {"student": "deterministic", "kl_multiplier": 0.0, "value_weight": 2.5},
        small=True,
        imitates="executed",
    ),
    "bc": Method(
        "behaviour cloning of the executed actions, at the student's size",
        PLAIN,
        small=True,
        imitates="executed",
    ),
}


def chosen_method(config: DistillConfig) -> MethodName:
    """Return the method that the config names or, for auto, the one that suits its target best.

    For a number of weights that is gradual, whose students fail most rarely, or bpd with the few
    fine-tunings of quick, which begin with fewer weights. For a number of bytes it is small, whose
    weights need no indices, unless they are counted in an encoding with fewer bytes per weight.
    docs/results.md has the measurements.
    """
    if config.method != "auto":
        return config.method
    if config.table_bytes and config.table_encoding == "auto":
        return "small"
    return "gradual" if config.targets() and config.preset != "quick" else "bpd"


def small_hidden(config: DistillConfig, sizes: tuple[int, int], layers: int) -> tuple[int, ...]:
    """Return equal hidden layers, as wide as possible, of a dense network within the target.

    Args:
        config: the target: weights, or bytes of float32 weights and biases.
        sizes: number of observations and of actions.
        layers: number of hidden layers; 0: one matrix and tanh.

    Raises:
        UserError: not even one neuron per layer fits, or that matrix does not.
    """

    def cost(width: int) -> int:
        weights = width * (sizes[0] + (layers - 1) * width + sizes[1])
        if not layers:
            weights = sizes[0] * sizes[1]
        return weights if config.keep else 4 * (weights + layers * width + sizes[1])

    said = f"{layers} hidden layers from {sizes[0]} observations to {sizes[1]} actions"
    if not layers:
        _check_fits(config, cost(1), said)
        return ()
    return (_widest(config, cost, said),) * layers


NEURONS_A_CHANNEL = 3
"""About so many has a small network that sees images, as MinAtar's teachers here (16 and 48)."""
WIDEST = 1 << 30
"""Neurons of a layer, whatever the target."""


def small_of_images(
    config: DistillConfig, convolution: Convolution, outputs: int, layers: int
) -> tuple[int, tuple[int, ...]]:
    """Return channels and hidden layers, likewise, of a network with a convolution before them.

    Of the widest networks with one channel, two, and so on, it is the one whose neurons and
    channels are nearest to `NEURONS_A_CHANNEL`: widening both at once would leave up to half of a
    small target unused.

    Raises:
        UserError: not even one channel and one neuron a layer fit, or there is no hidden layer.
    """
    if not layers:
        raise UserError("hidden is empty; a small network of images has one hidden layer at least")

    said = f"one convolution and {layers} hidden layers from images to {outputs} actions"

    def cost(width: int, channels: int) -> int:
        weights = channels * convolution.patch_size
        weights += width * (convolution.count * channels + (layers - 1) * width + outputs)
        biases = channels + layers * width + outputs
        return weights if config.keep else 4 * (weights + biases)

    def distance(network: tuple[int, int]) -> float:
        return abs(log(network[1] / network[0] / NEURONS_A_CHANNEL))

    best = (1, _widest(config, partial(cost, channels=1), said))
    # With more channels there are fewer neurons: once they are too few a channel, the last network
    # or the one before it is the nearest.
    while best[1] > NEURONS_A_CHANNEL * best[0]:
        more = best[0] + 1
        if cost(1, more) > _limit(config):
            break
        wider = (more, _widest(config, partial(cost, channels=more), said))
        if distance(wider) >= distance(best):
            break
        best = wider
    return best[0], (best[1],) * layers


def _limit(config: DistillConfig) -> int:
    return config.keep or config.table_bytes or 0


def _widest(config: DistillConfig, cost: Callable[[int], int], said: str) -> int:
    """Return the most neurons per layer whose cost is within the target."""
    limit = _limit(config)
    _check_fits(config, cost(1), said)
    return bisect_right(range(1, limit + 1), limit, hi=min(limit, WIDEST), key=cost)


def _check_fits(config: DistillConfig, least: int, said: str) -> None:
    """Check that a network which costs `least` is within the target."""
    if least > _limit(config):
        name, unit = ("keep", "weights") if config.keep else ("table_bytes", "bytes")
        raise UserError(
            f"{name} is {_limit(config)}; a dense network of {said} has {least} {unit} or more"
        )
