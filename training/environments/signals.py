"""Signals: what each number of an observation and an action means, and its normalisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.training.environments.checked_environment import CheckedEnvironment
from sparsectl.training.nn.networks import Array

JSON = dict[str, Any]
NAMES = "signal_names"
"""What an environment, or a wrapper, may say of its observations: a name for each."""

PASSIVE = (
    gymnasium.wrappers.PassiveEnvChecker,
    gymnasium.wrappers.OrderEnforcing,
    gymnasium.wrappers.RecordEpisodeStatistics,
    gymnasium.wrappers.TimeLimit,
    gymnasium.RewardWrapper,
    CheckedEnvironment,
)
"""Wrappers that change neither observations nor actions."""

CHOICES = (gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete, gymnasium.spaces.MultiBinary)
VECTORS = "only vectors of real numbers (Box) can be distilled"
DISCRETE = (
    "only continuous actions (Box of real numbers) can be distilled so far, no choice among a few; "
    "`sparsectl export` takes an ONNX policy of such choices as it is"
)
FIELDS = ("name", "unit", "scale", "offset", "low", "high")


def check_signals(signals: Any, path: Path) -> None:
    """Check signals that came from a file.

    Raises:
        UserError: a part is missing or has another type.
    """
    if not isinstance(signals, dict):
        raise UserError(f"{path}: signals are missing; make the file again")
    for side in ("observation", "action"):
        entries = signals.get(side)
        if not isinstance(entries, list) or not entries:
            raise UserError(f"{path}: signals.{side} is {entries!r}; it must be a list of signals")
        for entry in entries:
            _check_signal(entry, side, path)
    frames = signals.get("frames")
    if type(frames) is not int or not 1 <= frames <= 1000:
        raise UserError(f"{path}: signals.frames is {frames!r}; it must be a count from 1")


def _check_signal(entry: Any, side: str, path: Path) -> None:
    if not isinstance(entry, dict) or not set(FIELDS) <= set(entry):
        raise UserError(f"{path}: a signal of {side} lacks some of {', '.join(FIELDS)}")
    scale, offset = entry["scale"], entry["offset"]
    if (
        not all(isinstance(v, (int, float)) and np.isfinite(v) for v in (scale, offset))
        or not scale
    ):
        raise UserError(
            f"{path}: signal {entry['name']} has scale {scale!r} and offset {offset!r}; "
            "both must be finite and the scale not 0"
        )


def normaliser(signals: JSON) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Observation offset and scale [n]; action offset, scale, low and high [m].

    An observation is `frames` times the signals, oldest frame first.
    """
    observation, action = signals["observation"], signals["action"]
    frames = int(signals["frames"])
    limits = [
        [fallback if entry[key] is None else entry[key] for entry in action]
        for key, fallback in (("low", -np.inf), ("high", np.inf))
    ]
    return (
        np.tile(_column(observation, "offset"), frames),
        np.tile(_column(observation, "scale"), frames),
        _column(action, "offset"),
        _column(action, "scale"),
        np.asarray(limits[0], np.float32),
        np.asarray(limits[1], np.float32),
    )


def environment_signals(environment: gymnasium.Env[Any, Any]) -> JSON:
    """The environment's own signals, or plain ones made from its spaces.

    Its own hold where every wrapper leaves observations and actions alone, for as much as its class
    says; a wrapper may have signals of its own.

    Raises:
        UserError: its observations or actions are not vectors of real numbers, or its own signals
            are none.
    """
    name = environment.spec.id if environment.spec else type(environment.unwrapped).__name__
    layer: Any = environment
    while layer is not None:
        if (own := getattr(layer, "signals", None)) is not None:
            check_signals(own, Path(name))
            signals: JSON = own
            return signals
        layer = layer.env if isinstance(layer, PASSIVE) else None
    spaces = {"observation": environment.observation_space, "action": environment.action_space}
    for side, space in spaces.items():
        if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
            discrete = side == "action" and isinstance(space, CHOICES)
            raise UserError(f"{name} has {side}s {space}; {DISCRETE if discrete else VECTORS}")
    if not np.issubdtype(spaces["action"].dtype, np.floating):
        raise UserError(f"{name} has actions {spaces['action']}; {DISCRETE}")
    names = None
    if environment.has_wrapper_attr(NAMES):
        names = environment.get_wrapper_attr(NAMES)
    return {
        "observation": _plain(spaces["observation"], "o", names),
        "action": _scaled(_plain(spaces["action"], "a")),
        "frames": 1,
        "period_s": float(getattr(environment.unwrapped, "dt", 0.0)),
        "rig": None,
    }


def standardised(signals: JSON, observations: Array) -> JSON:
    """Signals whose scale is 1 and offset 0 throughout get the data's mean and deviation.

    Signals of a rig bring their own scales and are returned as they are.
    """
    entries = signals["observation"]
    if any(entry["scale"] != 1 or entry["offset"] != 0 for entry in entries):
        return signals
    size = len(entries)
    values = observations.astype(np.float64).reshape(-1, size)
    means, deviations = values.mean(axis=0), values.std(axis=0)
    deviations[deviations < 1e-6] = 1.0  # a constant signal carries nothing to scale
    scaled = [
        {**entry, "offset": float(np.float32(mean)), "scale": float(np.float32(deviation))}
        for entry, mean, deviation in zip(entries, means, deviations, strict=True)
    ]
    return {**signals, "observation": scaled}


def unscaled(signals: JSON) -> JSON:
    """Signals whose observations are taken as the environment gives them."""
    plain = [{**entry, "offset": 0.0, "scale": 1.0} for entry in signals["observation"]]
    return {**signals, "observation": plain}


def _plain(space: Any, prefix: str, names: list[str] | None = None) -> list[JSON]:
    def bound(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    return [
        {
            "name": names[index] if names else f"{prefix}{index}",
            "unit": "",
            "scale": 1.0,
            "offset": 0.0,
            "low": bound(low),
            "high": bound(high),
        }
        for index, (low, high) in enumerate(zip(space.low, space.high, strict=True))
    ]


def _scaled(actions: list[JSON]) -> list[JSON]:
    """A student's tanh covers the bounds: scale is half the range, offset its middle."""
    for action in actions:
        if action["low"] is None or action["high"] is None:
            raise UserError(
                f"action {action['name']} has no bounds; wrap the environment so that it has"
            )
        if not action["low"] < action["high"]:
            raise UserError(
                f"action {action['name']} ranges from {action['low']:g} to {action['high']:g}, "
                "which leaves nothing to choose; wrap the environment so that it takes none"
            )
        action["scale"] = (action["high"] - action["low"]) / 2
        action["offset"] = (action["high"] + action["low"]) / 2
    return actions


def _column(entries: list[JSON], key: str) -> Array:
    return np.asarray([entry[key] for entry in entries], dtype=np.float32)
