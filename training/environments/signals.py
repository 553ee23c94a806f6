"""Signals: the meaning of each number of an observation and an action, and its normalisation."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.networks import Array
from sparsectl.policy.choices import Choices
from sparsectl.policy.signals import INDEX
from sparsectl.policy.signals_json import IMAGE, check_signals
from sparsectl.training.environments.checked_environment import CheckedEnvironment

JSON = dict[str, Any]
IMAGE_SHAPE = "image_shape"
"""Attribute by which an environment says that an observation is an image: its height, width and
channels."""
NAMES = "signal_names"
"""Attribute by which an environment or a wrapper names each number of its observations."""

PASSIVE = (
    gymnasium.wrappers.PassiveEnvChecker,
    gymnasium.wrappers.OrderEnforcing,
    gymnasium.wrappers.RecordEpisodeStatistics,
    gymnasium.wrappers.TimeLimit,
    gymnasium.RewardWrapper,
    CheckedEnvironment,
)
"""Wrappers that change neither observations nor actions."""

VECTORS = "only vectors of real numbers (Box) can be distilled"
FLATTENED = "--wrapper gymnasium.wrappers:FlattenObservation makes a vector of it"
MOST_COMBINATIONS = 10_000
"""Of several choices at once; more would be more outputs than a chip can compute."""
ACTIONS = (
    "only continuous actions (Box of real numbers) and one choice among a few (Discrete) can be "
    "distilled so far; `sparsectl export` takes an ONNX policy of others as it is"
)


def environment_signals(environment: gymnasium.Env[Any, Any]) -> JSON:
    """Return the environment's own signals, or plain ones made from its spaces.

    Its own hold where every wrapper leaves observations and actions alone, for as much as its class
    says; a wrapper may have signals of its own.

    Raises:
        UserError: its observations are not vectors of real numbers, its actions neither such nor
            one choice among a few, or its own signals are none.
    """
    name = environment.spec.id if environment.spec else type(environment.unwrapped).__name__
    layer: Any = environment
    while layer is not None:
        if (own := getattr(layer, "signals", None)) is not None:
            check_signals(own, f"{name}: signals")
            signals: JSON = own
            return signals
        layer = layer.env if isinstance(layer, PASSIVE) else None
    spaces = {"observation": environment.observation_space, "action": environment.action_space}
    if not _is_vector(observed := spaces["observation"]):
        # Gymnasium makes a Sequence of a Sequence: its length differs from step to step.
        mend = FLATTENED if _is_box_when_flat(observed) else "wrap it so that it is one"
        raise UserError(f"{name} has observations {observed}; {VECTORS}: {mend}")
    names = image = None
    if environment.has_wrapper_attr(IMAGE_SHAPE):
        image = environment.get_wrapper_attr(IMAGE_SHAPE)
    if environment.has_wrapper_attr(NAMES):
        names = environment.get_wrapper_attr(NAMES)
    return {
        "observation": _as_image(_plain(spaces["observation"], "o", names), image),
        "action": _actions(spaces["action"], name),
        "frames": 1,
        "period_s": float(getattr(environment.unwrapped, "dt", 0.0)),
        "rig": None,
        **({} if image is None else {IMAGE: list(image)}),
    }


def _as_image(entries: list[JSON], image: tuple[int, int, int] | None) -> list[JSON]:
    """Scale pixels of one range, such as 0 to 255, to at most 1."""
    ranges = {(entry["low"], entry["high"]) for entry in entries}
    if image is None or len(ranges) > 1 or entries[0]["low"] != 0 or not entries[0]["high"]:
        return entries
    return [{**entry, "scale": entry["high"]} for entry in entries]


def _is_vector(space: Any) -> bool:
    return isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1


def _is_box_when_flat(space: Any) -> bool:
    """Return whether Gymnasium can flatten such observations to a vector, choices as ones in rows
    of zeros."""
    return isinstance(space, gymnasium.Space) and space.is_np_flattenable


def _numbered(space: Any) -> str:
    """Return the mend for several choices at once; for other actions, nothing."""
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        count = math.prod(space.nvec.reshape(-1).tolist())
    elif isinstance(space, gymnasium.spaces.MultiBinary):
        count = 2 ** math.prod(space.shape)
    else:
        return ""
    if count > MOST_COMBINATIONS:
        return ""
    return f"; a wrapper that numbers them all makes it Discrete({count}): --wrapper module:Class"


def _actions(space: Any, name: str) -> list[JSON]:
    if isinstance(space, gymnasium.spaces.Discrete):
        if space.n < 2:
            raise UserError(f"{name} has actions {space}, which leaves only one value")
        return [choice_signal(Choices(int(space.start), int(space.n)))]
    if not _is_vector(space) or not np.issubdtype(space.dtype, np.floating):
        raise UserError(f"{name} has actions {space}; {ACTIONS}{_numbered(space)}")
    return _scaled(_plain(space, "a"))


def choice_signal(choices: Choices) -> JSON:
    """Return the signal of a choice's index; an argmax counts from 0, and the offset adds the first
    index."""
    first, last = float(choices.first), float(choices.last)
    entry = {"unit": INDEX, "scale": 1.0, "offset": first, "low": first, "high": last}
    return {"name": "choice", **entry}


def standardised(signals: JSON, observations: Array) -> JSON:
    """Replace scales of 1 and offsets of 0, if all are so, by the data's standard deviation and
    mean.

    Signals of a rig bring their own scales and are returned as they are, and so are an image's: its
    pixels have one scale, whatever is seen at each of them.
    """
    entries = signals["observation"]
    if IMAGE in signals or any(entry["scale"] != 1 or entry["offset"] != 0 for entry in entries):
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
    """Return signals that leave observations as the environment gives them."""
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
    """Set scale to half the range and offset to its middle, so that a student's tanh covers the
    bounds."""
    for action in actions:
        if action["low"] is None or action["high"] is None:
            raise UserError(
                f"action {action['name']} has no bounds; wrap the environment so that it has some"
            )
        if not action["low"] < action["high"]:
            raise UserError(
                f"action {action['name']} ranges from {action['low']:g} to {action['high']:g}, "
                "which leaves only one value; wrap the environment so that it has no such action"
            )
        action["scale"] = (action["high"] - action["low"]) / 2
        action["offset"] = (action["high"] + action["low"]) / 2
    return actions
