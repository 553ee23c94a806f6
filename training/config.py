"""The settings of each subcommand of training; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import UseAppendAction, arg

from sparsectl.common.quantities import Size
from sparsectl.training.settings import DaggerOptions, EvidenceOptions, FinetuneOptions


@dataclass(frozen=True)
class CollectConfig:
    """Roll a teacher out into a dataset."""

    teacher: Path
    """Stable-Baselines3 zip, ONNX, student.safetensors, or a policy's folder."""

    env: str
    """Gymnasium id of the environment, or one's own: module:Id-v0, module:Class or RIG.toml."""

    out: Path = Path("runs/collect/dataset.npz")
    """The dataset: an .npz, or minari:NAMESPACE/NAME-v0 for Minari's local folder."""

    transitions: int = 100_000
    """How many transitions to record."""

    noise: float = 0.1
    """Standard deviation of the action noise, as a fraction of half the action's range. Where
    actions are choices (Discrete): the probability of a choice by chance, in each step."""

    noise_fraction: float = 0.75
    """The share of episodes that have the noise; the labels never have it."""

    seed: int = 0
    """Episode k depends on (seed, k) alone."""

    workers: int = 0
    """Worker processes; 0: one a core."""

    activation: str | None = None
    """Hidden activation of a Stable-Baselines3 zip that does not say its own."""

    env_kwargs: UseAppendAction[tuple[str, ...]] = ()
    """Keyword arguments of the environment: key=value or JSON; may be given several times."""

    wrapper: UseAppendAction[tuple[str, ...]] = ()
    """A wrapper around it, module:Class; may be given several times, the innermost first."""

    normalizer: Path | None = None
    """An .npz of the teacher's normaliser: mean, var, epsilon, clip, as VecNormalize has them."""


@dataclass(frozen=True)
class TeachConfig:
    """Train a teacher with Stable-Baselines3."""

    env: str = "sparsectl/sensorsini_cartpole-v0"
    """Gymnasium environment; also module:Id-v0, module:Class, RIG.toml."""
    algo: Literal["sac", "td3", "dqn", "ppo"] = "sac"
    """Reinforcement-learning algorithm: sac and td3 for continuous actions, dqn and ppo for one
    choice among a few (Discrete)."""
    backend: Literal["sb3", "sbx"] = "sb3"
    """sb3: Stable-Baselines3 (torch). sbx: its JAX sibling, 2.5 times faster (extra `jax`)."""
    steps: int | None = None
    """Environment steps (300,000). This and the next have RL Baselines3 Zoo's values where it has
    the environment: Pendulum, LunarLanderContinuous, Hopper and others."""
    environments: int | None = None
    """Environments stepped side by side (16)."""
    updates_per_step: float | None = None
    """Gradient updates for each environment step (0.5)."""
    learning_rate: float | None = None
    """Adam's, of actor and critics (3e-4); it falls linearly …"""
    learning_rate_end: float | None = None
    """… to this share of it over the training (0.1)."""
    learning_starts: int | None = None
    """Environment steps of random actions before the first update (5,000)."""
    discount: float | None = None
    """Discount of future reward, a control period (0.99)."""
    target_rate: float | None = None
    """Share of the online networks that their targets take at each update (0.005)."""
    hidden: tuple[int, ...] | None = None
    """Widths of the hidden layers of actor and critics (256 256)."""
    channels: int | None = None
    """Where observations are images: channels of one convolution of 3 x 3 before the hidden layers
    (16)."""
    exploration_noise: float | None = None
    """Standard deviation of the actions' noise, of half their range (td3 0.1, sac 0: it has its
    own)."""
    seed: int = 0
    """Seed of networks, environments and sampling."""
    evaluate_every: int = 20_000
    """Environment steps between evaluations; the best teacher so far is kept."""
    evaluate_episodes: int = 30
    """Episodes of one evaluation."""
    out: Path = Path("runs/teach")
    """Folder for teacher.onnx, learning_curve.csv, summary.json and the checkpoint."""
    restart: bool = False
    """Begin anew where `out` holds a checkpoint."""
    env_kwargs: UseAppendAction[tuple[str, ...]] = ()
    """Keyword arguments of the environment: key=value or JSON; may be given several times."""
    wrapper: UseAppendAction[tuple[str, ...]] = ()
    """A wrapper around it, module:Class; may be given several times, the innermost first."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure a policy's return with a 95 % bootstrap interval; or with --compare A B which of two
    policies returns more in the same episodes."""

    policy: Path | None = None
    """SB3 zip, ONNX, student.safetensors, or a folder that `export` wrote."""
    env: str | None = None
    """Gymnasium environment; by default the one the policy was made for."""
    episodes: int = 100
    """Episodes, each a freshly drawn start (and unit of the rig)."""
    seed: int = 10_000
    """Seed of the first episode; the next ones count up from it."""
    trace: Path | None = None
    """Also save angle, position and duty of the first episode here (.npz)."""
    task: int | None = None
    """Of a student of several tasks: which, from 0; the one of --env where that is given."""
    compare: tuple[Path, Path] | None = None
    """Two policies in place of --policy: the same episodes, the interval of the difference."""
    env_kwargs: UseAppendAction[tuple[str, ...]] = ()
    """Keyword arguments of the environment: key=value or JSON; may be given several times."""
    wrapper: UseAppendAction[tuple[str, ...]] = ()
    """A wrapper around it, module:Class; may be given several times, the innermost first."""
    normalizer: Path | None = None
    """An .npz of the policy's normaliser: mean, var, epsilon, clip, as VecNormalize has them."""


MethodName = Literal[
    "auto",
    "bpd",
    "group",
    "deterministic",
    "gradual",
    "policy-distillation",
    "magnitude",
    "one-shot",
    "neurons",
    "l1",
    "group-lasso",
    "small",
    "td3bc",
    "bc",
]


@dataclass(frozen=True)
class DistillConfig:
    """Distil a teacher's dataset into a sparse student; what is not given is the preset's."""

    dataset: Path | tuple[Path, ...]
    """The teacher's transitions: an .npz, or minari:ID. Several, of teachers that choose: a student
    of as many tasks, one trunk with a head for each, which takes their minibatches in turn."""

    out: Path = Path("runs/distill")
    """Folder for student.safetensors, the checkpoint and TensorBoard's logs."""

    preset: Literal["auto", "paper", "authors", "quick", "thorough"] = "auto"
    """auto: thorough. quick: about two minutes. thorough: about fifteen, with longer fine-tunings;
    each student that fits is measured in 500 episodes, the three best in 2,000 more. In both the
    last thousand weights go by curvature. paper: a million steps by the paper's formulas, without
    fine-tuning. authors: the same by what its authors' program computes."""

    method: MethodName = "auto"
    """auto: bpd, with keep or return gradual, which cuts while it fine-tunes (in quick bpd), with
    table_bytes small. bpd: Bayesian Policy Distillation. group: dropout on whole neurons. The
    others have no noise, and weights or neurons go while fine-tuning; small, td3bc and bc are small
    dense networks. policy-distillation: of a teacher that chooses one of a few; the others but for
    td3bc and bc are for choices too."""

    loss: Literal["nll", "mse", "kl"] | None = None
    """Where actions are choices: nll of the teacher's choice, mse of its values, or kl from the
    softmax of its values over the temperature (kl)."""

    temperature: float | None = None
    """Of the teacher's values in kl; small ones sharpen (0.01 of Q-values, 1 of logits)."""

    keep: int | None = None
    """Target: the best student with this many weights at most."""

    return_share: Annotated[float | None, arg(name="return")] = None
    """Target: the fewest weights with this share of the teacher's return, such as 0.97."""

    table_bytes: Size | None = None
    """Target: the best student whose tables after export (weights, indices, biases) take this many
    bytes at most; 2K is 2048. The code beside them is the same for any student: `export --flash`
    counts it too, on a board."""

    table_encoding: str = "auto"
    """What --table-bytes counts them in, as `export --encoding`: packed-int8 takes half of
    auto's."""

    env: str | None = None
    """Gymnasium id: the return is measured there after each stage. Without it: purely offline. The
    dataset's keyword arguments and wrappers hold, where no others are given."""

    teacher: Path | None = None
    """Labels the states that the student meets (DAgger); it needs --env."""

    steps: int | None = None
    """Minibatches of the distillation (paper 1,000,000)."""

    hidden: tuple[int, ...] | None = None
    """Neurons of the student's hidden layers (128 128)."""

    channels: int | None = None
    """Where observations are images: channels of one convolution of 3 x 3 before the hidden layers
    (16); 0: none."""

    batch_size: int | None = None
    """Transitions in a minibatch (256)."""

    learning_rate: float | None = None
    """Of the student's Adam (paper 3e-4); short runs need more, or few weights are cut."""

    value_weight: float | None = None
    """h of the value term (paper 0.5); 0: no value term and no critics."""

    discount: float | None = None
    """Of future reward, a step, where critics learn (0.99)."""

    critics: Path | None = None
    """Critics fitted once to the dataset and shared, in place of live ones; fitted where the file
    is not there yet."""

    critic_dtype: Literal["float32", "bfloat16"] | None = None
    """bfloat16: training in about two thirds of the time, on CPUs that have it (float32)."""

    kl_multiplier: float | None = None
    """Times the paper's weight of the divergence: more cuts more weights (paper 1)."""

    log_alpha_threshold: float | None = None
    """Weights with log α at or over it are cut (2)."""

    prior: str | None = None
    """log-uniform (the paper's), relevance, gaussian, laplace or uniform."""

    prior_scale: float | None = None
    """Width of the Gaussian, Laplace and uniform priors (1)."""

    kl_weights: int | None = None
    """Steer the divergence's weight to this many kept weights while distilling."""

    kl_return: float | None = None
    """Steer it to this share of the teacher's return; needs --env and --teacher."""

    kl_schedule: str | None = None
    """How the divergence's weight grows: constant, linear (the paper's), exponential or cosine."""

    noise: str | None = None
    """local (correct), or authors: the noise as the program of the paper's authors has it."""

    units: str | None = None
    """normalised, or physical: observations and actions as the environment has them."""

    imitation: str | None = None
    """sum (the paper's) or mean (its authors' program's) over an action's elements."""

    finetune: FinetuneOptions = FinetuneOptions()

    dagger: DaggerOptions = DaggerOptions()

    evidence: EvidenceOptions = EvidenceOptions()

    seed: int = 0
    """Of the start, the minibatches, the weight noise and the rounds."""

    episodes: int | None = None
    """Episodes that measure the return after each stage, where there is an environment (20,
    quick 40, thorough 500)."""

    final_episodes: int | None = None
    """Other episodes, that decide among the three best students (thorough 2000, else 0)."""

    device: str = "auto"
    """cpu, cuda, cuda:1 …; auto: CUDA where there is one."""

    workers: int = 0
    """Processes for episodes; 0: one a core."""

    checkpoint_seconds: float = 30.0
    """Between checkpoints: what a kill loses at most."""

    restart: bool = False
    """Begin anew where `out` holds a checkpoint."""

    env_kwargs: UseAppendAction[tuple[str, ...]] = ()
    """Keyword arguments of the environment: key=value or JSON; may be given several times."""

    wrapper: UseAppendAction[tuple[str, ...]] = ()
    """A wrapper around it, module:Class; may be given several times, the innermost first."""

    normalizer: Path | None = None
    """An .npz of the teacher's normaliser: mean, var, epsilon, clip, as VecNormalize has them."""

    @property
    def datasets(self) -> tuple[Path, ...]:
        """The datasets, one or several."""
        return self.dataset if isinstance(self.dataset, tuple) else (self.dataset,)

    def targets(self) -> dict[str, float]:
        """The targets that are given, by name; more than one is an error that `resolved` raises."""
        targets = {
            "keep": self.keep,
            "return": self.return_share,
            "table_bytes": self.table_bytes,
        }
        return {name: value for name, value in targets.items() if value is not None}
