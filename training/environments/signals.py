"""Signals: the meaning of each number of an observation and an action, and its normalisation."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.policy.acting.networks import Array
from sparsectl.policy.choices import Choices
from sparsectl.policy.signals import INDEX, MOST_SIGNALS
from sparsectl.policy.signals_json import IMAGE, check_signals, normaliser
from sparsectl.policy.tasks import MOST_CHOICES
from sparsectl.training.environments.checked_environment import (
    LARGEST,
    CheckedEnvironment,
    own_attribute,
)

JSON = dict[str, Any]
IMAGE_SHAPE = "image_shape"
"""Attribute by which an environment says that an observation is an image: its height, width and
channels."""
NAMES = "signal_names"
"""Attribute by which an environment or a wrapper names each number of its observations."""

CONSTANT = 1e-6
"""A standard deviation below which a signal counts as constant. It is mostly rounding, as of a
planar robot's velocity out of its plane, and must not be scaled up to the size of its motion."""

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
    spaces = {"observation": environment.observation_space, "action": environment.action_space}
    for side, space in spaces.items():
        if isinstance(space, gymnasium.spaces.Box) and 0 in space.shape:
            raise UserError(f"{name} has {side}s {space}, of no numbers at all")
    layer: Any = environment
    while layer is not None:
        if (own := getattr(layer, "signals", None)) is not None:
            return _own_signals(own, spaces, name)
        layer = layer.env if isinstance(layer, PASSIVE) else None
    if not _is_vector(observed := spaces["observation"]):
        # Gymnasium makes a Sequence of a Sequence: its length differs from step to step.
        mend = FLATTENED if _is_box_when_flat(observed) else "wrap it so that it is one"
        raise UserError(f"{name} has observations {observed}; {VECTORS}: {mend}")
    size = int(np.prod(observed.shape or ()))
    if size > MOST_SIGNALS:
        raise UserError(
            f"{name} has observations of {size:,} numbers; wrap it so that they are "
            f"{MOST_SIGNALS:,} at most, such as a smaller image"
        )
    image, names = _image(environment, size, name), _names(environment, size, name)
    return {
        "observation": _as_image(_plain(observed, "o", names), image),
        "action": _actions(spaces["action"], name),
        "frames": 1,
        "period_s": _period(environment),
        "rig": None,
        **({} if image is None else {IMAGE: image}),
    }


def _own_signals(own: Any, spaces: dict[str, Any], name: str) -> JSON:
    """Return an environment's own signals, if they are of its spaces.

    Raises:
        UserError: they are not signals, of another size than the spaces, or have limits of actions
            beyond the space's.
    """
    check_signals(own, f"{name}: signals")
    signals: JSON = own
    offset, _, action_offset, _, low, high = normaliser(signals)
    sizes = {"observation": offset.size, "action": action_offset.size}
    for side, space in spaces.items():
        if not isinstance(space, gymnasium.spaces.Box):
            continue
        if space.shape != (sizes[side],):
            raise UserError(
                f"{name}: signals describe {sizes[side]} numbers of an {side}, its {side}_space "
                f"has the shape {space.shape}; mend the signals"
            )
        if side == "action" and _beyond(space, low, high):
            raise UserError(
                f"{name}: signals let actions be from {low.tolist()} to {high.tolist()}, its "
                f"action_space from {space.low.tolist()} to {space.high.tolist()}; mend the signals"
            )
    return signals


def _beyond(space: gymnasium.spaces.Box, low: Array, high: Array) -> bool:
    """Return whether limits, which are float32, let actions leave a space, which may be float64."""
    with np.errstate(over="ignore"):
        lowest, highest = space.low.astype(np.float32), space.high.astype(np.float32)
    return bool(((low < lowest) | (high > highest)).any())


def _period(environment: gymnasium.Env[Any, Any]) -> float:
    """Return the seconds of a step where an environment says them as MuJoCo's do, by its `dt`; 0:
    not known."""
    try:
        period = float(own_attribute(environment.unwrapped, "dt"))
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return period if 0 < period < math.inf else 0.0


def _image(environment: gymnasium.Env[Any, Any], size: int, name: str) -> list[int] | None:
    """Return height, width and channels if an observation is an image.

    Others may have an attribute of that name too, for something else.
    """
    said = _said_by(environment, IMAGE_SHAPE)
    if said is None:
        return None
    try:
        shape = [int(number) for number in said]
    except (TypeError, ValueError):
        shape = []
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) != size:
        warn(
            f"{name} has {IMAGE_SHAPE} {said!r}, which is no height, width and channels of its "
            f"{size} observations; they are taken for a plain vector"
        )
        return None
    return shape


def _names(environment: gymnasium.Env[Any, Any], size: int, name: str) -> list[str] | None:
    """Return the observations' own names, one for each, if they have any."""
    said = _said_by(environment, NAMES)
    if said is None:
        return None
    names = list(said) if isinstance(said, (list, tuple)) else []
    if len(set(map(str, names))) != size or not all(isinstance(text, str) for text in names):
        warn(
            f"{name} has {NAMES} that are not a name for each of its {size} observations; they "
            "are called o0, o1 and so on"
        )
        return None
    return names


def _said_by(environment: gymnasium.Env[Any, Any], name: str) -> Any:
    """Return an attribute of an environment or of one of its wrappers; None: none has it."""
    return environment.get_wrapper_attr(name) if environment.has_wrapper_attr(name) else None


def _as_image(entries: list[JSON], image: list[int] | None) -> list[JSON]:
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
        if not max(abs(int(space.start)), abs(int(space.start + space.n))) < MOST_CHOICES:
            raise UserError(
                f"{name} has actions {space}, whose numbers are beyond float32's whole ones; wrap "
                "it so that they begin at 0"
            )
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
    constant = deviations < CONSTANT
    tiny = np.flatnonzero(constant & (np.ptp(values, axis=0) > 0))
    if tiny.size:
        names = ", ".join(entries[column]["name"] for column in tiny[:8]) + ", …" * (tiny.size > 8)
        most = deviations[tiny].max()
        warn(
            f"observations of {names} vary by a standard deviation of at most {most:.2g} and count "
            "as constant; if they carry something, have the environment give them in smaller units"
        )
    deviations[constant] = 1.0  # a constant signal carries nothing to scale
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
        number = float(value)  # of float16 too, in which the comparison would overflow
        return number if abs(number) <= LARGEST else None

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
        if not action["high"] - action["low"] <= LARGEST:
            raise UserError(
                f"action {action['name']} ranges from {action['low']:g} to {action['high']:g}, "
                "which is wider than float32; wrap the environment so that it is narrower"
            )
        action["scale"] = (action["high"] - action["low"]) / 2
        action["offset"] = (action["high"] + action["low"]) / 2
    return actions
