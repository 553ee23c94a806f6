"""The settings of each subcommand of training; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import UseAppendAction, arg

from sparsectl.common.quantities import Size
from sparsectl.training.settings import (
    DaggerOptions,
    EvidenceOptions,
    FinetuneOptions,
    SearchOptions,
)


@dataclass(frozen=True)
class CollectConfig:
    """Record a teacher's transitions as a dataset."""

    teacher: Path
    """Stable-Baselines3 zip, .cleanrl_model, ONNX, student.safetensors, or a policy's folder."""

    env: str
    """Gymnasium id of the environment, or your own: module:Id-v0, module:Class or RIG.toml."""

    out: Path = Path("runs/collect/dataset.npz")
    """The dataset: an .npz, or minari:NAMESPACE/NAME-v0 for Minari's local folder."""

    transitions: int = 100_000
    """How many transitions to record."""

    noise: float = 0.1
    """Standard deviation of the action noise, as a fraction of half the action's range. For
    discrete actions: the probability of a random choice in each step."""

    noise_fraction: float = 0.75
    """Share of the episodes with action noise; the labels are never noisy."""

    seed: int = 0
    """Episode k depends on (seed, k) alone."""

    workers: int = 0
    """Worker processes; 0: one per core."""

    activation: str | None = None
    """Hidden activation, for a Stable-Baselines3 zip or .cleanrl_model that does not name it."""

    env_kwargs: UseAppendAction[tuple[str, ...]] = ()
    """Keyword arguments of the environment, as key=value or JSON; repeat it for several."""

    wrapper: UseAppendAction[tuple[str, ...]] = ()
    """A wrapper for the environment, module:Class; repeat it for several, innermost first."""

    normalizer: Path | None = None
    """An .npz with the statistics of the teacher's VecNormalize: mean, var, epsilon, clip."""


@dataclass(frozen=True)
class TeachConfig:
    """Train a teacher with Stable-Baselines3."""

    env: str = "sparsectl/sensorsini_cartpole-v0"
    """Gymnasium id of the environment, or your own: module:Id-v0, module:Class or RIG.toml."""
    algo: Literal["sac", "td3", "dqn", "ppo"] = "sac"
    """Reinforcement-learning algorithm: sac and td3 for continuous actions, dqn and ppo for
    discrete ones."""
    backend: Literal["sb3", "sbx"] = "sb3"
    """sb3: Stable-Baselines3 (torch). sbx: its JAX version, 2.5 times faster (extra `jax`)."""
    steps: int | None = None
    """Environment steps (300,000). If RL Baselines3 Zoo has the environment (Pendulum,
    LunarLanderContinuous, Hopper and others), its values are the defaults of this and the next
    settings."""
    environments: int | None = None
    """Environments that are stepped in parallel (16)."""
    updates_per_step: float | None = None
    """Gradient updates per environment step (0.5)."""
    learning_rate: float | None = None
    """Adam's learning rate for actor and critics at the start (3e-4); it decreases linearly."""
    learning_rate_end: float | None = None
    """The learning rate at the end, as a share of the one at the start (0.1)."""
    learning_starts: int | None = None
    """Environment steps with random actions before the first update (5,000)."""
    discount: float | None = None
    """Discount of future reward per control period (0.99)."""
    target_rate: float | None = None
    """τ: the share by which the target networks move to the online ones per update (0.005)."""
    hidden: tuple[int, ...] | None = None
    """Sizes of the hidden layers of actor and critics (256 256)."""
    channels: int | None = None
    """For images as observations: channels of the 3 x 3 convolution before the hidden layers
    (16)."""
    exploration_noise: float | None = None
    """Standard deviation of the action noise, as a fraction of half the range (td3 0.1; sac 0,
    because its policy is stochastic)."""
    batch_size: int | None = None
    """Transitions per gradient update (sac and td3 256; dqn and ppo as RL Baselines3 Zoo has it for
    the environment). An update of 100, as in TD3's paper, takes half the time of one of 256."""
    seed: int = 0
    """Seed of the networks, the environments and the sampling."""
    evaluate_every: int = 20_000
    """Environment steps between evaluations; the best teacher is kept."""
    evaluate_episodes: int = 30
    """Episodes per evaluation."""
    keep_all: bool = False
    """Also keep the policy of each evaluation, as evaluations/STEPS.onnx: a teacher of medium skill
    is one of them."""
    device: str = "auto"
    """cpu, cuda, cuda:1 …; auto: CUDA if available."""
    out: Path = Path("runs/teach")
    """Folder for teacher.onnx, learning_curve.csv, summary.json and the checkpoint."""
    restart: bool = False
    """Start from the beginning even if `out` holds a checkpoint."""
    env_kwargs: UseAppendAction[tuple[str, ...]] = ()
    """Keyword arguments of the environment, as key=value or JSON; repeat it for several."""
    wrapper: UseAppendAction[tuple[str, ...]] = ()
    """A wrapper for the environment, module:Class; repeat it for several, innermost first."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure a policy's return with a 95 % bootstrap interval, or compare the returns of two
    policies in the same episodes with --compare A B."""

    policy: Path | None = None
    """SB3 zip, .cleanrl_model, ONNX, student.safetensors, or a folder that `export` wrote."""
    env: str | None = None
    """Gymnasium environment; by default the one that the policy was trained for."""
    episodes: int = 100
    """Number of episodes; each draws a new initial state (and a new unit of the rig)."""
    seed: int = 10_000
    """Seed of the first episode; each following one adds 1."""
    trace: Path | None = None
    """Also save the angle, position and duty of the first episode to this .npz file."""
    task: int | None = None
    """For a student of several tasks: the task, from 0; by default the task of --env."""
    compare: tuple[Path, Path] | None = None
    """Compare two policies, instead of --policy: the difference of their returns with its
    interval."""
    env_kwargs: UseAppendAction[tuple[str, ...]] = ()
    """Keyword arguments of the environment, as key=value or JSON; repeat it for several."""
    wrapper: UseAppendAction[tuple[str, ...]] = ()
    """A wrapper for the environment, module:Class; repeat it for several, innermost first."""
    normalizer: Path | None = None
    """An .npz with the statistics of the policy's VecNormalize: mean, var, epsilon, clip."""


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
    """Distil a teacher's dataset into a sparse student; the preset supplies all other settings."""

    dataset: Path | tuple[Path, ...]
    """The teacher's transitions: an .npz, or minari:ID. Give several datasets with discrete actions
    to train one student for as many tasks: one trunk, a head for each task, and minibatches from
    each dataset in turn."""

    out: Path = Path("runs/distill")
    """Folder for student.safetensors, the checkpoint and TensorBoard logs."""

    preset: Literal["auto", "paper", "authors", "quick", "thorough"] = "auto"
    """auto: thorough. quick takes about two minutes. thorough takes about five and fine-tunes for
    longer; it measures each student that meets a --keep target in 500 episodes, and the best
    three in 2,000 more. Both prune the last thousand weights by curvature. paper: a million steps
    by the paper's formulas, without fine-tuning. authors: the same with the formulas of its
    authors' program. The numbers in brackets below are what the presets set."""

    method: MethodName = "auto"
    """auto: bpd without a target; gradual with --keep or --return (bpd with quick); small with
    --table-bytes. bpd: Bayesian Policy Distillation. group: dropout on whole neurons. The others
    have no noise. small, td3bc and bc train small dense networks; the rest imitate and prune
    weights or neurons while fine-tuning. policy-distillation is for discrete actions alone; the
    others except td3bc and bc support these too. docs/training.md has a line for each."""

    loss: Literal["nll", "mse", "kl"] | None = None
    """For discrete actions. kl: divergence from the softmax of the teacher's values over the
    temperature. nll: negative log likelihood of its choice. mse: squared error of its values. (kl;
    nll for a dataset without values)"""

    temperature: float | None = None
    """Temperature of kl; lower is sharper (0.01 for Q-values, 1 for logits)."""

    keep: int | None = None
    """Target: the best student with at most this many weights."""

    return_share: Annotated[float | None, arg(name="return")] = None
    """Target: the student with the fewest weights that keeps this share of the teacher's return,
    such as 0.97."""

    table_bytes: Size | None = None
    """Target: the best student whose tables after export (weights, indices, biases) need at most
    this many bytes; 2K is 2048. The code, which is the same for any student, is not counted here,
    but `export --flash` counts it."""

    table_encoding: str = "auto"
    """The encoding in which --table-bytes counts, as in `export --encoding`; packed-int8 needs
    about half the bytes of auto."""

    env: str | None = None
    """Gymnasium environment in which to measure the return after each stage; without it, training
    is purely offline. Keyword arguments and wrappers default to the dataset's."""

    teacher: Path | None = None
    """The teacher, which labels the states that the student reaches (DAgger); needs --env."""

    steps: int | None = None
    """Minibatches of the distillation (4,000; paper 1,000,000)."""

    hidden: tuple[int, ...] | None = None
    """Neurons of the student's hidden layers (64 64; paper 128 128). --hidden without a number:
    none, which leaves one matrix and tanh."""

    channels: int | None = None
    """For images as observations: channels of the 3 x 3 convolution before the hidden layers (16);
    0: none."""

    batch_size: int | None = None
    """Transitions per minibatch (256)."""

    learning_rate: float | None = None
    """Adam's learning rate for the student (4e-3; paper 3e-4); short runs need a higher one to
    prune enough weights."""

    value_weight: float | None = None
    """h, the weight of the value term of bpd (0.5, as in the paper); 0: no value term and no
    critics."""

    discount: float | None = None
    """Discount of future reward per step, for the critics (0.99)."""

    critics: Path | None = None
    """File of critics that are fitted to the dataset once and shared by several runs; without it,
    each run trains its own. If the file does not exist, it is written."""

    critic_dtype: Literal["float32", "bfloat16"] | None = None
    """Type of the hidden layers' products, of critics and student (float32); bfloat16 cuts the
    training time to about two thirds on CPUs that support it."""

    kl_multiplier: float | None = None
    """Factor on the paper's weight of the divergence; a larger one prunes more weights (0.5; paper
    1)."""

    log_alpha_threshold: float | None = None
    """Weights whose log α reaches this are pruned (2)."""

    prior: str | None = None
    """Prior of a weight: log-uniform (the paper's, and the default), relevance, gaussian, laplace
    or uniform."""

    prior_scale: float | None = None
    """Width of the Gaussian, Laplace and uniform priors (1)."""

    kl_weights: int | None = None
    """Control the weight of the divergence so that this many weights are kept."""

    kl_return: float | None = None
    """Control the weight of the divergence to keep this share of the teacher's return; needs --env
    and --teacher."""

    kl_schedule: str | None = None
    """How the weight of the divergence grows: constant, linear (as in the paper, and the default),
    exponential or cosine."""

    noise: str | None = None
    """Noise of a layer's output. local (the default): local reparameterisation, whose variance is
    that of the weights; authors: that of the authors' program."""

    units: str | None = None
    """Units of observations and actions in the loss: normalised, or physical, the environment's own
    (normalised; paper and authors physical)."""

    imitation: str | None = None
    """How the squared error combines the elements of an action: sum (as in the paper, and the
    default) or mean (as in its authors' program)."""

    finetune: FinetuneOptions = FinetuneOptions()

    dagger: DaggerOptions = DaggerOptions()
    search: SearchOptions = SearchOptions()

    evidence: EvidenceOptions = EvidenceOptions()

    seed: int = 0
    """Seed of the initial weights, the minibatches, the weight noise and the DAgger rounds."""

    episodes: int | None = None
    """Episodes that measure the return after each stage, if --env is given (thorough 500, quick 40,
    paper 20)."""

    final_episodes: int | None = None
    """Further episodes that decide between the three best students (thorough 2,000, else 0)."""

    device: str = "auto"
    """cpu, cuda, cuda:1 …; auto: CUDA if available."""

    workers: int = 0
    """Worker processes for episodes; 0: one per core."""

    checkpoint_seconds: float = 30.0
    """Seconds between checkpoints, and so the most work that a kill can lose."""

    restart: bool = False
    """Start from the beginning even if `out` holds a checkpoint."""

    env_kwargs: UseAppendAction[tuple[str, ...]] = ()
    """Keyword arguments of the environment, as key=value or JSON; repeat it for several."""

    wrapper: UseAppendAction[tuple[str, ...]] = ()
    """A wrapper for the environment, module:Class; repeat it for several, innermost first."""

    normalizer: Path | None = None
    """An .npz with the statistics of the teacher's VecNormalize: mean, var, epsilon, clip."""

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
