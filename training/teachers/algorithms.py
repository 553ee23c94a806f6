"""The algorithms that train teachers: their actions, their settings, and the form of their
networks.

SAC and TD3 have continuous actions, DQN and PPO discrete ones. The settings that only DQN and PPO
have take RL Baselines3 Zoo's values (teaching.py) if the zoo has the environment. For others, DQN
has the values that the zoo uses most often, and PPO those of Stable-Baselines3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from stable_baselines3.common.noise import NormalActionNoise

from sparsectl.common.errors import UserError
from sparsectl.policy.choices import LOGITS, Q_VALUES, choices_of
from sparsectl.policy.signals_json import image_of
from sparsectl.training.config import TeachConfig
from sparsectl.training.environments.environments import parts_of
from sparsectl.training.teachers.image_network import geometries, kernels_of
from sparsectl.training.teachers.teacher_file import Form
from sparsectl.training.teachers.teaching import RIGS, Teaching, family_of

JSON = dict[str, Any]

MOST_REPLAYED = 1_000_000
"""Capacity of the replay buffers of SAC and TD3, in steps."""

BATCH = 256
"""Transitions per update of SAC and TD3."""


@dataclass(frozen=True)
class Dqn:
    """Settings of DQN alone (Mnih et al. 2015), in environment steps."""

    batch_size: int = 128
    buffer_size: int = 100_000
    train_freq: int = 4
    """Steps between updates, which are then done together."""
    target_update_interval: int = 250
    exploration_fraction: float = 0.12
    """Share of the training in which ε falls from 1 to `exploration_final_eps`."""
    exploration_final_eps: float = 0.1


@dataclass(frozen=True)
class Ppo:
    """Settings of PPO alone (Schulman et al. 2017)."""

    batch_size: int = 256
    n_steps: int = 256
    """Steps of each environment between updates."""
    n_epochs: int = 10
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    clip_range_end: float = 1.0
    """Share of its initial value at the end, to which it falls linearly."""
    ent_coef: float = 0.0
    """Weight of the entropy."""


DQN_OF = {
    "CartPole": Dqn(64, 100_000, 256, 10, 0.16, 0.04),
    "MountainCar": Dqn(128, 10_000, 16, 600, 0.2, 0.07),
    "Acrobot": Dqn(128, 50_000, 4, 250, 0.12, 0.1),
    "LunarLander": Dqn(128, 50_000, 4, 250, 0.12, 0.1),
}
"""The zoo's settings, by Gymnasium's name without its version."""
PPO_OF = {"CartPole": Ppo(256, 32, 20, 0.8, 0.2, 0.0)}

MINATAR = "MinAtar"
DQN_OF_FAMILY = {
    MINATAR: Dqn(32, 100_000, 4, 1_000, 0.1, 0.1),
    RIGS: Dqn(256, 1_000_000, 1, 1, 0.1, 0.05),
}
PPO_OF_FAMILY = {MINATAR: Ppo(256, 32, 4, ent_coef=0.01)}
"""Settings by the part of an id before its slash."""


@dataclass(frozen=True)
class Algorithm:
    """An algorithm.

    Attributes:
        form: form of the teacher that it trains.
        keywords: settings and signals → further arguments of its class.
        replayed: capacity of its replay buffer in steps; None: it has none.
        lacks: settings of `Teaching` that it does not have.
    """

    form: Form
    keywords: Callable[[TeachConfig, Teaching, JSON], JSON]
    replayed: Callable[[TeachConfig, Teaching], int] | None
    lacks: tuple[str, ...] = ()

    @property
    def chooses(self) -> bool:
        """Return whether its actions are discrete."""
        return self.form.values is not None


def _replayed(config: TeachConfig, settings: Teaching) -> int:
    return min(settings.steps, MOST_REPLAYED)


def _of_actors(config: TeachConfig, settings: Teaching, signals: JSON) -> JSON:
    return {
        "buffer_size": _replayed(config, settings),
        "learning_starts": settings.learning_starts,
        "batch_size": settings.batch_size or BATCH,
        "tau": settings.target_rate,
        "train_freq": 1,
        "gradient_steps": max(1, round(settings.updates_per_step * settings.environments)),
        "action_noise": _noise(settings.exploration_noise, len(signals["action"])),
    }


def _noise(deviation: float, actions: int) -> NormalActionNoise | None:
    """Return Gaussian noise, in units of half the actions' range."""
    return NormalActionNoise(np.zeros(actions), np.full(actions, deviation)) if deviation else None


def _dqn(config: TeachConfig) -> Dqn:
    of_family = DQN_OF_FAMILY.get(family_of(config.env), Dqn())
    return DQN_OF.get(parts_of(config.env).id.rpartition("-v")[0], of_family)


def _of_dqn(config: TeachConfig, settings: Teaching, signals: JSON) -> JSON:
    own = _dqn(config)
    updates = settings.updates_per_step * own.train_freq * settings.environments
    return {
        "buffer_size": own.buffer_size,
        "learning_starts": settings.learning_starts,
        "batch_size": settings.batch_size or own.batch_size,
        "tau": settings.target_rate,
        "train_freq": own.train_freq,
        "gradient_steps": max(1, round(updates)),
        "target_update_interval": own.target_update_interval,
        "exploration_fraction": own.exploration_fraction,
        "exploration_final_eps": own.exploration_final_eps,
    }


def _of_ppo(config: TeachConfig, settings: Teaching, signals: JSON) -> JSON:
    of_family = PPO_OF_FAMILY.get(family_of(config.env), Ppo())
    own = PPO_OF.get(parts_of(config.env).id.rpartition("-v")[0], of_family)
    start, end = own.clip_range, own.clip_range_end
    return {
        "batch_size": settings.batch_size or own.batch_size,
        "n_steps": own.n_steps,
        "n_epochs": own.n_epochs,
        "gae_lambda": own.gae_lambda,
        "ent_coef": own.ent_coef,
        "clip_range": lambda left: start * (end + (1 - end) * left),
    }


ACTORS = Algorithm(Form(), _of_actors, _replayed)

ALGORITHMS: dict[str, Algorithm] = {
    "sac": ACTORS,
    "td3": ACTORS,
    "dqn": Algorithm(
        Form("Relu", Q_VALUES),
        _of_dqn,
        lambda config, settings: min(_dqn(config).buffer_size, settings.steps),
        ("exploration_noise",),
    ),
    "ppo": Algorithm(
        Form("Tanh", LOGITS),
        _of_ppo,
        None,
        ("exploration_noise", "updates_per_step", "learning_starts", "target_rate"),
    ),
}


def form_of(algo: str, settings: Teaching, signals: JSON) -> Form:
    """Return the form of the teacher; networks for images have ReLU throughout."""
    form, image = ALGORITHMS[algo].form, image_of(signals)
    if image is None:
        return form
    places = geometries(image, kernels_of(image, settings.channels))
    return replace(form, hidden="Relu", convolutions=places)


def check_algorithm(config: TeachConfig, signals: JSON) -> None:
    """Check that the algorithm is for such observations and actions.

    Raises:
        UserError: it is not.
    """
    choices, image = choices_of(signals), image_of(signals)
    if image is not None and not ALGORITHMS[config.algo].chooses and choices is None:
        raise UserError(
            f"{config.env} has images for observations and continuous actions; teachers of images "
            "are trained by dqn and ppo alone, for discrete actions"
        )
    if (choices is not None) == ALGORITHMS[config.algo].chooses:
        return
    if choices is not None:
        raise UserError(
            f"algo is {config.algo}, which has continuous actions, but {config.env} takes one of "
            f"{choices.count} choices; give --algo dqn or ppo"
        )
    raise UserError(
        f"algo is {config.algo}, which takes one of a few choices here, but {config.env} takes "
        f"{len(signals['action'])} real numbers; give --algo sac or td3"
    )


def check_asked(config: TeachConfig) -> None:
    """Check that no given setting is one that the algorithm does not have.

    Raises:
        UserError: one is, or the backend does not have the algorithm.
    """
    for name in ALGORITHMS[config.algo].lacks:
        if (value := getattr(config, name)) is not None:
            raise UserError(f"{name} is {value}, which {config.algo} does not have; leave it out")
    if ALGORITHMS[config.algo].chooses and config.backend != "sb3":
        raise UserError(f"backend is {config.backend}; {config.algo} needs --backend sb3")
