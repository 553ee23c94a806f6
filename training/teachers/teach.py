"""Train a teacher with Stable-Baselines3, or with its JAX sibling SBX.

The libraries provide the algorithms. This adds the environment, the normaliser before the networks,
the checkpoints, and the teacher's file: weights only, as ONNX, in the environment's units.
"""

from __future__ import annotations

import csv
import importlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.env_util import make_vec_env

from sparsectl.common.errors import NotInstalled, Stopped, UserError
from sparsectl.common.files import atomic_path, check_writable, write_json
from sparsectl.common.folder_lock import locked_folder
from sparsectl.common.memory import check_memory, dense_parameters
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import provenance
from sparsectl.common.ranges import check_counts, check_numbers
from sparsectl.policy.choices import choices_of
from sparsectl.policy.signals_json import image_of, normaliser
from sparsectl.training.config import TeachConfig
from sparsectl.training.environments.environments import make_environment, named_environment
from sparsectl.training.environments.signals import environment_signals
from sparsectl.training.nn.checkpoint import ANEW, Checkpoint, read_checkpoint, write_checkpoint
from sparsectl.training.nn.loop import Stop, stop_on_interrupt
from sparsectl.training.rollouts.evaluate import run_episodes, summarise
from sparsectl.training.rollouts.plausibility import warn_of_ignored_seed
from sparsectl.training.rollouts.seeds import BLOCK, Series, episode_seed
from sparsectl.training.teachers.algorithms import (
    ALGORITHMS,
    check_algorithm,
    check_asked,
    form_of,
)
from sparsectl.training.teachers.backends import BACKENDS
from sparsectl.training.teachers.backends.backend import Backend
from sparsectl.training.teachers.image_network import ImageNetwork, geometries, kernels_of
from sparsectl.training.teachers.quiet_logger import quietened
from sparsectl.training.teachers.replay_buffer import load_replay, replay_state
from sparsectl.training.teachers.teacher_file import teacher_act, write_teacher
from sparsectl.training.teachers.teaching import Teaching, known_of, resolved

MOST_ENVIRONMENTS, WIDEST = 4096, 65_536

CHECKPOINT = "checkpoint.safetensors"


def teach(config: TeachConfig) -> dict[str, Any]:
    """Run `sparsectl teach`; write teacher.onnx, learning_curve.csv and summary.json.

    A run that was stopped or killed resumes from the last evaluation: networks, optimisers and
    replay buffer are as they were, the environments begin new episodes.

    Raises:
        UserError: no such environment, the backend is not installed, or `out` holds another run.
        Stopped: SIGINT came; the same command resumes from there.
    """
    config, settings, signals = check_teach(config)
    backend = BACKENDS[config.backend]
    if known := known_of(config):
        print(f"sparsectl teach: {known.described(settings)}", file=sys.stderr)
    with locked_folder(config.out), backend.device(config.device):
        return _taught(config, settings, backend, signals)


def check_teach(config: TeachConfig) -> tuple[TeachConfig, Teaching, dict[str, Any]]:
    """Check all settings; nothing is written.

    Returns:
        The config with the environment's full name and resolved settings, these settings, and the
        environment's signals.

    Raises:
        UserError: no such environment, the backend is not installed, or a setting does not fit.
    """
    env = named_environment(config.env, config.env_kwargs, config.wrapper)
    config = replace(config, env=env, env_kwargs=(), wrapper=())
    check_asked(config)
    settings = resolved(config)
    config = replace(config, **asdict(settings))
    _check(config, settings)
    backend = BACKENDS[config.backend]
    _import(backend.module)
    backend.device(config.device)
    signals = signals_of(config.env)
    check_algorithm(config, signals)
    _check_learns(settings)
    _check_memory(config, settings, signals)
    return config, settings, signals


def _taught(
    config: TeachConfig, settings: Teaching, backend: Backend, signals: dict[str, Any]
) -> dict[str, Any]:
    checkpoint = _checkpoint(config)
    probe = make_environment(config.env)
    warn_of_ignored_seed(probe, signals, config.env)
    probe.close()
    done = checkpoint.steps["teach"] if checkpoint else 0
    model = _model(config, settings, backend, signals, seed=config.seed + done)
    with stop_on_interrupt() as stop:
        keeper = _Keeper(config, settings, signals, backend, stop)
        if checkpoint:
            backend.restore(model, checkpoint.tensors)
            if ALGORITHMS[config.algo].replayed is not None:
                load_replay(model.replay_buffer, checkpoint.tensors)
            model.num_timesteps, model._n_updates = done, checkpoint.steps["updates"]
            keeper.resume(checkpoint)
        if done < settings.steps:
            callbacks = CallbackList([_Bar(settings.steps), keeper])
            try:
                model.learn(settings.steps - done, callback=callbacks, reset_num_timesteps=not done)
            except (ValueError, UserError):  # torch's distributions and environments refuse NaN
                keeper.check_finite(backend.weights(model))
                raise
            keeper.finish()
    model.get_env().close()
    return keeper.summary()


def _check(config: TeachConfig, settings: Teaching) -> None:
    check_counts(config, 1, "evaluate_every", "evaluate_episodes")
    check_counts(config, 0, "seed", most=BLOCK // 2)
    check_counts(settings, 1, "steps")
    check_counts(settings, 1, "environments", most=MOST_ENVIRONMENTS)
    check_counts(settings, 2, "batch_size", most=WIDEST)
    check_counts(settings, 1, "hidden", most=WIDEST)
    check_counts(settings, 1, "channels", most=WIDEST)
    check_counts(settings, 0, "learning_starts")
    check_numbers(settings, "updates_per_step", over=0, most=1000)
    check_numbers(settings, "learning_rate", "target_rate", over=0, most=1)
    check_numbers(settings, "learning_rate_end", "discount", least=0, most=1)
    check_numbers(settings, "exploration_noise", least=0, most=10)
    if not settings.hidden:
        raise UserError("hidden is empty; give the width of one layer at least")
    check_writable(config.out)


def _check_learns(settings: Teaching) -> None:
    """Refuse a training that is over before its first update."""
    if settings.learning_starts >= settings.steps:
        raise UserError(
            f"learning_starts is {settings.learning_starts}, but steps is {settings.steps}, so "
            "nothing would be learnt; give more steps or a smaller learning_starts"
        )


def _check_memory(config: TeachConfig, settings: Teaching, signals: dict[str, Any]) -> None:
    """Check that networks, optimisers and replay buffer fit into memory.

    Raises:
        UserError: they do not.
    """
    choices = choices_of(signals)
    observations = seen = len(signals["observation"])
    if (image := image_of(signals)) is not None:
        kernels = kernels_of(image, settings.channels)
        seen = geometries(image, kernels)[-1].count * kernels[-1].channels
    actions = len(signals["action"]) if choices is None else choices.count
    algorithm = ALGORITHMS[config.algo]
    replayed = algorithm.replayed(config, settings) if algorithm.replayed else 0
    actor = dense_parameters((seen, *settings.hidden, actions))
    critic = dense_parameters((seen + actions, *settings.hidden, 1))
    # Each has a gradient, Adam's two moments and a target; there are two critics.
    values = 5 * (actor + 2 * critic)
    values += replayed * (2 * observations + actions + 2)
    check_memory(
        4 * values,
        f"hidden {' '.join(map(str, settings.hidden))} with a replay buffer of {replayed:,} steps",
        "give narrower layers or fewer steps",
    )


def _checkpoint(config: TeachConfig) -> Checkpoint | None:
    path = config.out / CHECKPOINT
    if config.restart or not path.exists():
        return None
    checkpoint = read_checkpoint(path)
    now, said_anew = _plain(config), {"out", "restart", "device", "keep_all"}
    # A setting that an earlier release did not have was at its default.
    said = {"channels": now["channels"], "batch_size": None, **checkpoint.run}
    changed = sorted(key for key in now.keys() - said_anew if now[key] != said.get(key))
    if changed:
        raise UserError(
            f"{config.out} holds a run with a different {', '.join(changed)}; "
            f"give another --out; or {ANEW}"
        )
    return checkpoint


def _model(
    config: TeachConfig, settings: Teaching, backend: Backend, signals: dict[str, Any], seed: int
) -> Any:
    algorithm, kind = getattr(_import(backend.module), config.algo.upper()), ALGORITHMS[config.algo]
    vector = make_vec_env(lambda: _training_env(config.env, signals), n_envs=settings.environments)
    start, end = settings.learning_rate, settings.learning_rate_end
    image = image_of(signals)
    seeing: dict[str, Any] = {}
    if image is not None:
        seeing["activation_fn"] = torch.nn.ReLU
        seeing["features_extractor_class"] = ImageNetwork
        kernels = kernels_of(image, settings.channels)
        seeing["features_extractor_kwargs"] = {"shape": image, "kernels": kernels}
    model = algorithm(
        "MlpPolicy",
        vector,
        learning_rate=lambda left: start * (end + (1 - end) * left),
        gamma=settings.discount,
        policy_kwargs={"net_arch": list(settings.hidden), **seeing},
        seed=episode_seed(Series.TEACHING, seed),  # also for its environments
        device=config.device,
        **kind.keywords(config, settings, signals),
    )
    return quietened(model)


def signals_of(env_id: str) -> dict[str, Any]:
    """Return the signals of an environment: its own, or plain ones without units."""
    env = make_environment(env_id)
    signals = environment_signals(env)
    env.close()
    return signals


def _training_env(env_id: str, signals: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """Return the environment for training: normalised, its choices counted from 0 as the libraries
    do and, for shipped rigs, with uniform starts."""
    env = make_environment(env_id, {"start": "mixed"} if signals["rig"] else None)
    choices = choices_of(signals)
    if choices is not None and choices.first:
        space = gymnasium.spaces.Discrete(choices.count)
        env = gymnasium.wrappers.TransformAction(env, lambda a: a + choices.first, space)
    offset, scale, *_ = normaliser(signals)
    if not offset.any() and (scale == 1).all():
        return env
    return gymnasium.wrappers.TransformObservation(
        env, lambda o: ((o - offset) / scale).astype(np.float32), env.observation_space
    )


def _import(module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise NotInstalled(
            f"the backend {module_name} is not installed; pip install 'sparsectl[jax]', "
            "or take --backend sb3"
        ) from error


class _Bar(BaseCallback):
    """Shows progress in environment steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def _on_training_start(self) -> None:
        done = self.num_timesteps
        self.bar = Progress(total=self.steps, initial=done, desc="teach", unit="step")

    def _on_step(self) -> bool:
        self.bar.update(self.num_timesteps - self.bar.n)
        return True

    def _on_training_end(self) -> None:
        self.bar.close()


class _Keeper(BaseCallback):
    """Evaluates at intervals; keeps the best teacher, the learning curve and the checkpoint."""

    def __init__(
        self,
        config: TeachConfig,
        settings: Teaching,
        signals: dict[str, Any],
        backend: Backend,
        stop: Stop,
    ) -> None:
        super().__init__()
        self.config, self.settings = config, settings
        self.signals, self.backend, self.stop = signals, backend, stop
        self.form = form_of(config.algo, settings, signals)
        self.curve: list[dict[str, Any]] = []
        self.started = time.monotonic()

    def resume(self, checkpoint: Checkpoint) -> None:
        """Load the checkpoint of an earlier process."""
        self.curve = checkpoint.report
        self.started -= checkpoint.seconds

    def _on_step(self) -> bool:
        if self.num_timesteps % self.config.evaluate_every < self.settings.environments:
            self.evaluate()
            self.save(replay=True)
        if self.stop.wanted:
            self.save(replay=True)
            raise Stopped(
                f"stopped after step {self.num_timesteps}; the same command resumes from there"
            )
        return True

    @property
    def best(self) -> dict[str, Any]:
        """Return the best row of the curve, the earliest of equals."""
        return max(self.curve, key=lambda row: float(row["return_mean"]))

    def evaluate(self) -> None:
        """Evaluate the present actor with the true start distribution; keep it if it is the
        best."""
        config = self.config
        if self.curve and self.curve[-1]["steps"] == self.num_timesteps:
            return
        weights = self.backend.weights(self.model)
        self.check_finite(weights)
        episodes = run_episodes(
            config.env,
            teacher_act(weights, self.signals, self.form),
            episodes=config.evaluate_episodes,
            seed=config.seed,
            series=Series.TEACHER_SELECTION,
        )
        row = {"steps": self.num_timesteps} | summarise(episodes)
        self.curve.append(row)
        self._write_curve(config.out / "learning_curve.csv")
        places = [config.out / "teacher.onnx"] if self.best is row else []
        if config.keep_all:
            places.append(config.out / "evaluations" / f"{row['steps']}.onnx")
        origin = {"config": _plain(config), "steps": row["steps"], **provenance()}
        for path in places:
            write_teacher(path, weights, self.signals, config.env, origin, self.form)

    def check_finite(self, weights: Sequence[tuple[np.ndarray[Any, Any], ...]]) -> None:
        """Check that the actor is one still.

        Raises:
            UserError: a weight is NaN or infinite.
        """
        if not all(np.isfinite(part).all() for layer in weights for part in layer):
            raise UserError(
                f"training diverged: the teacher's weights are no longer finite at step "
                f"{self.model.num_timesteps}; wrap the environment so that observations and "
                "rewards are of the order of 1, or give a smaller --learning-rate"
            )

    def save(self, *, replay: bool) -> None:
        """Write the checkpoint; that of a finished run has no replay buffer."""
        tensors = self.backend.state(self.model)
        if replay and ALGORITHMS[self.config.algo].replayed is not None:
            tensors |= replay_state(self.model.replay_buffer)  # type: ignore[attr-defined]
        steps = {"teach": self.num_timesteps, "updates": self.model._n_updates}
        seconds = time.monotonic() - self.started
        run = _plain(self.config)
        checkpoint = Checkpoint(run, len(self.curve), steps, self.curve, seconds, tensors)
        write_checkpoint(self.config.out / CHECKPOINT, checkpoint)

    def finish(self) -> None:
        """Finish after the last step."""
        self.evaluate()
        self.save(replay=False)

    def summary(self) -> dict[str, Any]:
        """Write and return summary.json."""
        result = {
            "teacher": str(self.config.out / "teacher.onnx"),
            **self.best,
            "seconds": round(time.monotonic() - self.started, 1),
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
    """Return the settings in the types of JSON."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    return settings
