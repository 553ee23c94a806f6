"""Default settings of a teacher's training, by algorithm and environment.

These are the values of RL Baselines3 Zoo (Raffin 2020, github.com/DLR-RM/rl-baselines3-zoo,
revision 22e3ff2, hyperparams/sac.yml, td3.yml, dqn.yml and ppo.yml), for environments that it has;
its benchmark.md has the returns of one agent each, mean and standard deviation over episodes. Other
environments get the settings that work for the rigs of this project.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from sparsectl.training.config import TeachConfig
from sparsectl.training.environments.environments import parts_of


@dataclass(frozen=True)
class Teaching:
    """Settings that depend on algorithm and environment; as `TeachConfig` explains them."""

    steps: int = 300_000
    environments: int = 16
    updates_per_step: float = 0.5
    learning_rate: float = 3e-4
    learning_rate_end: float = 0.1
    learning_starts: int = 5_000
    discount: float = 0.99
    target_rate: float = 0.005
    hidden: tuple[int, ...] = (256, 256)
    channels: int = 16
    exploration_noise: float = 0.0
    batch_size: int | None = None


@dataclass(frozen=True)
class Known:
    """The zoo's settings for an environment, and the return of its own agent with them."""

    settings: Teaching
    return_mean: float
    return_std: float

    def described(self, used: Teaching) -> str:
        """Describe these settings in a line, and name those of `used` that differ from them."""
        names = [field.name for field in fields(Teaching)]
        changed = [name for name in names if getattr(used, name) != getattr(self.settings, name)]
        other = f", but for {', '.join(changed)}" if changed else ""
        return (
            f"settings of RL Baselines3 Zoo{other}; its own agent returned {self.return_mean:,.0f} "
            f"(standard deviation {self.return_std:,.0f} over episodes) after "
            f"{self.settings.steps:,} steps"
        )


TD3_NOISE = 0.1
"""Exploration noise of TD3, as in its paper (Fujimoto et al. 2018)."""

ONE = Teaching(environments=1, updates_per_step=1.0, learning_rate_end=1.0)
SAC_MUJOCO = replace(ONE, steps=1_000_000, learning_starts=10_000)
TD3_MUJOCO = replace(SAC_MUJOCO, learning_rate=1e-3, hidden=(400, 300), exploration_noise=TD3_NOISE)
TD3_SHORT = replace(TD3_MUJOCO, steps=300_000, discount=0.98)
SAC_PENDULUM = replace(ONE, steps=20_000, learning_rate=1e-3, learning_starts=100)
SAC_LUNAR = replace(
    SAC_MUJOCO,
    steps=500_000,
    learning_rate=7.3e-4,
    learning_rate_end=0.0,
    target_rate=0.01,
    hidden=(400, 300),
)

DQN = replace(ONE, steps=100_000, learning_starts=1_000, target_rate=1.0)
"""At this rate the targets copy the whole network, at intervals."""
DQN_TUNED = replace(DQN, learning_rate=6.3e-4, learning_starts=0)
PPO = Teaching(environments=8, learning_starts=0, learning_rate_end=1.0, hidden=(64, 64))

KNOWN = {
    ("dqn", "CartPole"): Known(
        replace(DQN, steps=50_000, learning_rate=2.3e-3, updates_per_step=0.5), 500, 0
    ),
    ("dqn", "MountainCar"): Known(
        replace(DQN, steps=120_000, learning_rate=4e-3, discount=0.98, updates_per_step=0.5),
        -101,
        10,
    ),
    ("dqn", "Acrobot"): Known(DQN_TUNED, -77, 12),
    ("dqn", "LunarLander"): Known(DQN_TUNED, 154, 79),
    ("ppo", "CartPole"): Known(
        replace(PPO, steps=100_000, learning_rate=1e-3, learning_rate_end=0.0, discount=0.98),
        500,
        0,
    ),
    ("sac", "Pendulum"): Known(SAC_PENDULUM, -157, 89),
    ("td3", "Pendulum"): Known(replace(TD3_SHORT, steps=20_000), -152, 90),
    ("sac", "LunarLanderContinuous"): Known(SAC_LUNAR, 260, 65),
    ("td3", "LunarLanderContinuous"): Known(TD3_SHORT, 207, 68),
    ("td3", "BipedalWalker"): Known(replace(TD3_SHORT, steps=1_000_000), 306, 57),
    ("sac", "Ant"): Known(SAC_MUJOCO, 4_616, 1_354),
    ("td3", "Ant"): Known(TD3_MUJOCO, 5_813, 590),
    ("sac", "HalfCheetah"): Known(SAC_MUJOCO, 9_535, 100),
    ("td3", "HalfCheetah"): Known(TD3_MUJOCO, 9_656, 970),
    ("sac", "Hopper"): Known(SAC_MUJOCO, 2_326, 1_130),
    ("td3", "Hopper"): Known(TD3_MUJOCO, 3_606, 4),
    ("sac", "Walker2d"): Known(SAC_MUJOCO, 3_863, 254),
    ("td3", "Walker2d"): Known(TD3_MUJOCO, 4_718, 46),
}
"""The zoo's settings, by algorithm and Gymnasium's name without its version."""


UNKNOWN = {
    "sac": Teaching(),
    "td3": Teaching(exploration_noise=TD3_NOISE),
    "dqn": DQN_TUNED,
    "ppo": PPO,
}
"""Settings for environments that the zoo does not have."""

RIGS = "sparsectl"
"""The family of this project's rigs and of rig files."""

OF_FAMILY = {
    ("dqn", RIGS): replace(
        DQN,
        steps=600_000,
        environments=16,
        updates_per_step=0.5,
        learning_rate=5e-4,
        learning_rate_end=0.1,
        learning_starts=10_000,
        target_rate=0.04,
        hidden=(128, 128),
    ),
    ("dqn", "MinAtar"): replace(
        DQN, steps=2_000_000, learning_rate=2.5e-4, learning_starts=5_000, hidden=(128,)
    ),
    ("ppo", "MinAtar"): replace(
        PPO,
        steps=5_000_000,
        environments=64,
        learning_rate=1e-3,
        learning_rate_end=0.0,
        hidden=(128,),
    ),
}
"""By algorithm and the part of an id before its slash: MinAtar's network (Young and Tian 2019), one
convolution of 16 channels and 128 neurons; DQN as there, but for Adam in RMSprop's place. On a rig
DQN's targets are updated softly after every step of its environments, like SAC's."""


def known_of(config: TeachConfig) -> Known | None:
    """Return the zoo's settings for this algorithm and environment, if it has any."""
    parts = parts_of(config.env)
    name, _, version = parts.id.rpartition("-v")
    if name == "LunarLander" and parts.kwargs.get("continuous"):
        name = "LunarLanderContinuous"
    changed = parts.wrappers or set(parts.kwargs) - {"continuous"}
    return None if changed or not version else KNOWN.get((config.algo, name))


def family_of(env: str) -> str:
    """Return the part of an environment's id before its slash; most have none."""
    place = parts_of(env).id
    if place.endswith(".toml"):
        return RIGS
    name, slash, _ = place.partition("/")
    return name if slash else ""


def resolved(config: TeachConfig) -> Teaching:
    """Return the settings: the given ones, otherwise the zoo's, otherwise this project's."""
    known = known_of(config)
    of_family = OF_FAMILY.get((config.algo, family_of(config.env)), UNKNOWN[config.algo])
    settings = known.settings if known else of_family
    given: dict[str, Any] = {
        field.name: value
        for field in fields(Teaching)
        if (value := getattr(config, field.name)) is not None
    }
    return replace(settings, **given)
