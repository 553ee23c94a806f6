"""The settings of a distillation's stages; presets and methods are sets of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Units = Literal["normalised", "physical"]
Imitation = Literal["sum", "mean"]


@dataclass(frozen=True)
class BpdSettings:
    """Bayesian Policy Distillation; the defaults are the paper's, but for the units."""

    steps: int = 1_000_000
    """Minibatches; the student learns from every second one."""

    hidden: tuple[int, ...] = (128, 128)
    """Neurons of the student's hidden layers."""

    batch_size: int = 256
    """Transitions in a minibatch."""

    learning_rate: float = 3e-4
    """Of the student's Adam."""

    critic_learning_rate: float = 3e-4
    """Of the critics' Adam."""

    units: Units = "normalised"
    """normalised: observations by the signals' scales, or to mean 0 and deviation 1 where they have
    none; actions to -1 … 1. physical: both as the environment has them, as in the paper."""

    imitation: Imitation = "sum"
    """Over an action's elements: sum, as in the paper, or mean, as in its authors' program, by
    which the divergence weighs as many times more as there are elements."""

    value_weight: float = 0.5
    """h of the value term -λ Q1, λ = h |D| / mean|Q1|; 0: no value term and no critics."""

    kl_rate: float = 4.0
    """ν: the divergence's weight is ν · step / steps …"""

    kl_cap: float = 2.0
    """… up to this …"""

    kl_multiplier: float = 1.0
    """… times this: the knob that trades return for fewer weights."""

    kl_weights: int = 0
    """Steer the multiplier to this many kept weights; 0: do not."""

    kl_return: float = 0.0
    """Steer the multiplier to this share of the teacher's return; 0: do not."""

    kl_schedule: str = "linear"
    """How the weight grows: constant, linear, exponential or cosine."""

    student: str = "variational"
    """variational: dropout on each weight. group: on each neuron. deterministic: none."""

    noise: str = "local"
    """local: the local reparameterisation. authors: their program's form of it."""

    prior: str = "log-uniform"
    """log-uniform, relevance, gaussian, laplace or uniform; of a deterministic student l1 or
    group-lasso."""

    prior_scale: float = 1.0
    """Width of the Gaussian, Laplace and uniform priors."""

    log_alpha_threshold: float = 2.0
    """Weights with log α at or over it are cut."""

    weight_std: float = 0.02
    """Deviation of the weights at the start."""

    log_sigma_start: float = -5.0
    """Log deviation of the weights' noise at the start."""

    critic_hidden: tuple[int, ...] = (256, 256)
    """Neurons of each critic's hidden layers."""

    critic_dtype: Literal["float32", "bfloat16"] = "float32"
    """float32; bfloat16: hidden layers, of critics and of variational students, with products that
    take half the time on CPUs that have them."""

    discount: float = 0.99
    """γ, per step."""

    target_rate: float = 0.005
    """τ: the share of the online networks that the targets take at each student update."""

    student_interval: int = 2
    """Critic updates a student update."""


@dataclass(frozen=True)
class FinetuneSettings:
    """Imitation under the mask, and cutting to fewer weights."""

    steps: int = 20_000
    """Minibatches, and again after each round; 0: none."""

    rounds: int = 0
    """Rounds of data that the fine-tuned student drives and the teacher labels."""

    prune_rounds: int = 8
    """Of a wanted size: fine-tunings over which the count falls to it; then come the rounds."""

    cuts: int = 10
    """Times in such a fine-tuning at which weights go, over its first half."""

    score: str = "activation"
    """Which weights stay: activation, magnitude, neuron, or curvature: what is lost without them
    once the others have made up for it; that is known in students under `newton_below`, and above
    them it is activation."""

    encoding: str = "float32"
    """What the export will make of the weights: float32, float16, int16 or int8."""

    learning_rate: float = 2e-3
    """Of Adam at the start; it falls to zero."""

    batch_size: int = 256
    """Transitions in a minibatch."""

    newton_below: int = 0
    """Students of so many weights, or fewer, learn by damped Gauss-Newton steps in Adam's place."""

    newton_steps: int = 40
    """Of those, a fine-tuning."""

    newton_rows: int = 20_000
    """Transitions in each."""


@dataclass(frozen=True)
class DaggerSettings:
    """Rounds of student-driven data that the teacher labels (Ross et al. 2011)."""

    rounds: int = 0
    """How many; 0: purely offline."""

    transitions: int = 10_000
    """Transitions of each round."""

    tries: int = 1
    """Times as many are driven by students that may be the result: half of those that a round then
    keeps are of the episodes that returned least, so that rare failures are seen."""

    anywhere: float = 0.0
    """Transitions besides, as a share of those, of episodes that begin anywhere, where an
    environment has such a start: what a student does not know there it may never get out of."""

    steps: int = 0
    """Further steps of distillation after each round."""

    noise: float = 0.1
    """Deviation of the student's action noise, as a fraction of half the action's range."""

    noise_fraction: float = 0.5
    """The share of episodes that have the noise."""

    hard_share: float = 0.25
    """Of fine-tuning's data, what comes from rounds' episodes that lost much; 0: as they come."""

    hard_loss: float = 0.25
    """Loss of return against the teacher's that makes an episode one of those."""
