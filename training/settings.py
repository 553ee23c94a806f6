"""The settings of a distillation's stages; presets and methods are sets of them.

A stage's options are what a command may give of its settings, by the same names; None: the
preset's. `--finetune.steps` is `DistillConfig.finetune.steps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Units = Literal["normalised", "physical"]
Imitation = Literal["sum", "mean"]
SearchAim = Literal["return", "failures"]


@dataclass(frozen=True)
class BpdSettings:
    """Bayesian Policy Distillation; the defaults are the paper's, but for the units."""

    steps: int = 1_000_000
    """Minibatches; the student learns from every second one."""

    hidden: tuple[int, ...] = (128, 128)
    """Neurons of the student's hidden layers."""

    channels: int = 16
    """Where observations are images: channels of the convolution of 3 x 3 before the hidden layers;
    0: none."""

    batch_size: int = 256
    """Transitions in a minibatch."""

    learning_rate: float = 3e-4
    """Learning rate of the student's Adam."""

    critic_learning_rate: float = 3e-4
    """Learning rate of the critics' Adam."""

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
    """Number of fine-tunings over which the count of weights falls to a wanted size; the rounds
    follow."""

    cuts: int = 10
    """Times in such a fine-tuning, over its first half, at which weights are cut."""

    score: str = "activation"
    """Score by which weights are kept: activation, magnitude, neuron, or curvature, which is the
    loss that remains after the others have compensated. Curvature is known in students under
    `newton_below`; above them it is activation."""

    encoding: str = "float32"
    """Encoding of the weights that the export will choose: float32, float16, int16 or int8."""

    learning_rate: float = 2e-3
    """Adam's learning rate at the start, Muon's is five times as high; it falls to zero."""

    batch_size: int = 256
    """Transitions in a minibatch."""

    newton_below: int = 0
    """Students with at most so many weights learn by damped Gauss-Newton steps instead of
    minibatches."""

    newton_steps: int = 40
    """Gauss-Newton steps in a fine-tuning."""

    newton_rows: int = 20_000
    """Transitions in each Gauss-Newton step."""


@dataclass(frozen=True)
class FinetuneOptions:
    """Fine-tuning: imitation with the mask fixed, and pruning to fewer weights."""

    steps: int | None = None
    """Minibatches in each fine-tuning (thorough 24,000, quick 6,000, paper 0), by Muon as long as
    nothing was pruned and by Adam then; 0: no fine-tuning."""

    rounds: int | None = None
    """Fine-tunings at the final size after the first, each on new data of a DAgger round (thorough
    6, quick 2)."""

    prune_rounds: int | None = None
    """With --keep: fine-tunings in which weights are pruned, before those at the final size
    (thorough 10, quick 3)."""

    score: str | None = None
    """The score by which weights are kept: activation, magnitude, neuron or curvature (curvature,
    if the method has no other)."""

    encoding: str | None = None
    """The encoding that fine-tuning on minibatches prepares for: float32, float16, int16 or int8.
    For small students use `export --calibration` instead, which compensates for the rounding of
    each weight in the others."""

    learning_rate: float | None = None
    """Adam's learning rate at the start of each fine-tuning (thorough 3e-3, quick 2e-3); Muon's is
    five times as high."""

    newton_below: int | None = None
    """Students with at most this many weights are fine-tuned by damped Gauss-Newton steps instead
    of Muon or Adam (quick and thorough 1,200, paper 0)."""

    newton_steps: int | None = None
    """Gauss-Newton steps per fine-tuning (40)."""

    newton_rows: int | None = None
    """Transitions per Gauss-Newton step (thorough 50,000, quick 20,000)."""


@dataclass(frozen=True)
class DaggerSettings:
    """Rounds of student-driven data that the teacher labels (Ross et al. 2011)."""

    rounds: int = 0
    """Number of rounds; 0: purely offline."""

    transitions: int = 10_000
    """Transitions of each round."""

    tries: int = 1
    """Factor by which more transitions are driven than kept, by students that may be the result.
    Half of those that a round keeps come from the episodes that returned least, so that rare
    failures are seen."""

    uniform_starts: float = 0.0
    """Additional transitions, as a share of those, from episodes whose initial state is uniform
    over the state space, if the environment has such a start: a student may never leave a state
    there that it does not know."""

    steps: int = 0
    """Further steps of distillation after each round."""

    noise: float = 0.1
    """Standard deviation of the student's action noise, as a fraction of half the action's range.
    For discrete actions: the probability of a random choice in each step."""

    noise_fraction: float = 0.5
    """The share of episodes that have the noise."""

    hard_share: float = 0.25
    """Share of the fine-tuning's data that comes from the rounds' episodes that lost much; 0: their
    natural share."""

    hard_loss: float = 0.25
    """Loss of return, as a share of the teacher's, from which on an episode is one of those."""


@dataclass(frozen=True)
class DaggerOptions:
    """DAgger: rounds of data in which the student acts and the teacher labels; needs --env and
    --teacher."""

    rounds: int | None = None
    """Rounds between the distillation and the fine-tuning (thorough 1, else 0)."""

    transitions: int | None = None
    """Transitions per round, also of those in the fine-tuning (thorough 20,000, quick 15,000)."""

    tries: int | None = None
    """Factor by which more transitions are run than kept; half of those kept come from the worst
    episodes (thorough 5, quick 2)."""

    uniform_starts: float | None = None
    """Additional transitions, as a share of the above, from episodes whose initial state is uniform
    over the state space, if the environment supports that, as sparsectl's own do (0.5; paper 0)."""

    hard_share: float | None = None
    """Share of the fine-tuning data that comes from episodes that lost over a quarter of the
    teacher's return (0.25); 0: their natural share."""

    steps: int | None = None
    """Further minibatches of distillation after each of --dagger.rounds (thorough 1,500)."""


@dataclass(frozen=True)
class SearchSettings:
    """A search for a higher return at the end, the mask held (finetuning/return_search.py)."""

    generations: int = 0
    """Number of generations; 0: no search."""

    aim: SearchAim = "return"
    """What the search improves: the mean return, with low returns counted twice, or, nearly alone,
    how rarely and by how much an episode's return is low."""

    pairs: int = 16
    """Mirrored perturbations in each generation; twice as many students act."""

    episodes: int = 32
    """Episodes of each perturbed student; half of them are hard ones."""

    pool: int = 2_000
    """Episodes of the student itself, run at intervals, among which the hard ones are found."""

    spread: float = 0.01
    """Change of the actions, relative to their range, that a perturbation of one parameter
    causes."""

    rate: float = 0.4
    """Step size at the start, in units of the spread; it falls to zero."""


@dataclass(frozen=True)
class SearchOptions:
    """Search: improve the best student by its own return, beyond what imitation gives; needs
    --env."""

    generations: int | None = None
    """Steps of the search (0: no search; try 60). Each runs 32 perturbed students in 32
    episodes."""

    aim: SearchAim | None = None
    """return (the default): a higher mean return. failures: episodes of a low return become rarer
    (try 160 generations, 96 episodes and a pool of 20,000)."""

    pairs: int | None = None
    """Pairs of mirrored perturbations in a generation (16, which are 32 students)."""

    episodes: int | None = None
    """Episodes of each perturbed student (32); half of them are among those in which the student
    itself returned least."""

    pool: int | None = None
    """Episodes in which the student is run every 20 generations to find those (2,000)."""


@dataclass(frozen=True)
class EvidenceOptions:
    """Evidence: episodes for the finished student and its teacher, never used to select
    anything."""

    episodes: int | None = None
    """Number of episodes (2,000, quick 300); 0: none, where `evaluate` follows."""

    limit: int | None = None
    """With --return: the most episodes to run while it is unclear whether the target is met (8
    times as many)."""
