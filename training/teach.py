"""Train a teacher with Stable-Baselines3, or with its JAX sibling SBX.

The algorithms are theirs; ours are the environment, the normaliser in front of the networks and
the file that comes out: weights only, as ONNX, in the environment's units.
"""

from __future__ import annotations

import csv
import importlib
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ProgressBarCallback
from stable_baselines3.common.env_util import make_vec_env

from common.errors import UserError
from common.files import atomic_path, write_json
from common.provenance import provenance
from training.config import TeachConfig
from training.evaluate import run_episodes, summarise
from training.rollouts import make_environment
from training.signals import environment_signals, normaliser
from training.teacher_file import Weights, teacher_act, write_teacher


def sb3_weights(model: Any) -> Weights:
    """The deterministic actor of a Stable-Baselines3 SAC or TD3 model, layer by layer."""
    actor = model.policy.actor
    hidden = actor.latent_pi if hasattr(actor, "latent_pi") else actor.mu
    linear = [layer for layer in hidden if hasattr(layer, "weight")]
    if hasattr(actor, "latent_pi"):
        linear.append(actor.mu)
    return [
        (layer.weight.detach().cpu().numpy().copy(), layer.bias.detach().cpu().numpy().copy())
        for layer in linear
    ]


def sbx_weights(model: Any) -> Weights:
    """The deterministic actor of an SBX SAC or TD3 model; SAC's last Dense is the spread."""
    layers = model.policy.actor_state.params["params"]
    count = len(model.policy.net_arch_pi if hasattr(model.policy, "net_arch_pi") else (0, 0)) + 1
    dense = [layers[f"Dense_{i}"] for i in range(count)]
    return [(np.array(layer["kernel"]).T.copy(), np.array(layer["bias"])) for layer in dense]


BACKENDS: dict[str, tuple[str, Callable[[Any], Weights]]] = {
    "sb3": ("stable_baselines3", sb3_weights),
    "sbx": ("sbx", sbx_weights),
}


def teach(config: TeachConfig) -> dict[str, Any]:
    """Run `sparsectl teach`; leaves teacher.onnx, learning_curve.csv and summary.json.

    Raises:
        UserError: no such environment, or the backend is not installed.
    """
    module_name, weights_of = BACKENDS[config.backend]
    algorithm = getattr(_import(module_name), config.algo.upper())
    signals = signals_of(config.env)
    started = time.monotonic()
    vector = make_vec_env(
        lambda: _training_env(config.env, signals), n_envs=config.environments, seed=config.seed
    )
    model = algorithm(
        "MlpPolicy",
        vector,
        learning_rate=lambda left: config.learning_rate * (0.1 + 0.9 * left),
        buffer_size=min(config.steps, 1_000_000),
        learning_starts=5_000,
        batch_size=256,
        gamma=config.discount,
        train_freq=1,
        gradient_steps=max(1, round(config.updates_per_step * config.environments)),
        policy_kwargs={"net_arch": list(config.hidden)},
        seed=config.seed,
    )
    keeper = _Keeper(config, signals, weights_of)
    model.learn(config.steps, callback=CallbackList([ProgressBarCallback(), keeper]))
    vector.close()
    keeper.evaluate()
    return keeper.summary(time.monotonic() - started)


def signals_of(env_id: str) -> dict[str, Any]:
    """The signals of an environment: its own, or plain ones without units."""
    env = make_environment(env_id)
    signals = environment_signals(env)
    env.close()
    return signals


def _training_env(env_id: str, signals: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """The environment as the learner sees it: normalised, and for our rigs from any start."""
    env = make_environment(env_id, {"start": "mixed"} if signals["rig"] else None)
    offset, scale, *_ = normaliser(signals)
    return gymnasium.wrappers.TransformObservation(
        env, lambda o: ((o - offset) / scale).astype(np.float32), env.observation_space
    )


def _import(module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"the backend {module_name} is not installed; pip install 'sparsectl[jax]', "
            "or take --backend sb3"
        ) from error


class _Keeper(BaseCallback):
    """Evaluates now and then, keeps the best teacher and the learning curve."""

    def __init__(
        self, config: TeachConfig, signals: dict[str, Any], weights_of: Callable[[Any], Weights]
    ) -> None:
        super().__init__()
        self.config, self.signals, self.weights_of = config, signals, weights_of
        self.curve: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None

    def _on_step(self) -> bool:
        steps_since = self.num_timesteps % self.config.evaluate_every
        if steps_since < self.config.environments:
            self.evaluate()
        return True

    def evaluate(self) -> None:
        """Measure the present actor on the true start distribution; keep it if it is the best."""
        config = self.config
        if self.curve and self.curve[-1]["steps"] == self.num_timesteps:
            return
        weights = self.weights_of(self.model)
        episodes = run_episodes(
            config.env,
            teacher_act(weights, self.signals),
            episodes=config.evaluate_episodes,
            seed=5_000_000 + config.seed,
        )
        row = {"steps": self.num_timesteps} | summarise(episodes)
        self.curve.append(row)
        self._write_curve(config.out / "learning_curve.csv")
        if self.best is None or row["return_mean"] > self.best["return_mean"]:
            self.best = row
            origin = {"config": _plain(config), "steps": row["steps"], **provenance()}
            write_teacher(config.out / "teacher.onnx", weights, self.signals, config.env, origin)

    def summary(self, seconds: float) -> dict[str, Any]:
        """Write and return summary.json."""
        assert self.best is not None
        result = {
            "teacher": str(self.config.out / "teacher.onnx"),
            **self.best,
            "seconds": round(seconds, 1),
            "config": _plain(self.config),
            "provenance": provenance(),
        }
        write_json(self.config.out / "summary.json", result)
        return result

    def _write_curve(self, path: Path) -> None:
        with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.curve[0].keys())
            writer.writeheader()
            writer.writerows(self.curve)


def _plain(config: TeachConfig) -> dict[str, Any]:
    return {
        key: str(value) if isinstance(value, Path) else value
        for key, value in asdict(config).items()
    }
