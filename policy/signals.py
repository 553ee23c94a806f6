"""The signals of an observation and of the action, and how to read them from the JSON in students
and ONNX files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsectl.common.errors import UserError

INDEX = "index"
"""Unit of an action that is the index of one of a few choices, as in a Discrete space."""
MOST_SIGNALS = 65_536
"""The most signals, frames or levels in a file; four frames of an Atari game are 28,224."""


@dataclass(frozen=True)
class Signal:
    """One element of an observation's frame or of the action, in physical units.

    normalised = (physical - offset) / scale for observations;
    physical = clip(normalised * scale + offset, low, high) for actions.
    None is no limit; a limit beyond float32 becomes None.
    """

    name: str
    unit: str = "1"
    scale: float = 1.0
    offset: float = 0.0
    low: float | None = None
    high: float | None = None
    levels: tuple[float, ...] = ()
    """For an action that is an index: the value of each index in the actuator's unit; empty if only
    the index is known."""

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):
            scale, offset = np.float32(self.scale), np.float32(self.offset)
        if not np.isfinite(scale) or scale == 0:
            raise UserError(
                f"signal {self.name!r} has scale {self.scale}; give a finite one that is not 0"
            )
        if not np.isfinite(offset):
            raise UserError(f"signal {self.name!r} has offset {self.offset}; give a finite one")
        with np.errstate(over="ignore"):
            low = np.float32(-math.inf if self.low is None else self.low)
            high = np.float32(math.inf if self.high is None else self.high)
        if not (low <= high and low < math.inf and high > -math.inf):
            raise UserError(
                f"signal {self.name!r} has limits [{self.low}, {self.high}]; give low <= high"
            )
        if not all(abs(level) <= np.finfo(np.float32).max for level in self.levels):
            raise UserError(f"signal {self.name!r} has levels {self.levels}; give finite numbers")
        if low == -math.inf:
            object.__setattr__(self, "low", None)
        if high == math.inf:
            object.__setattr__(self, "high", None)


class Signals(NamedTuple):
    """The fields of PolicyGraph that describe both ends of the controller."""

    observation: tuple[Signal, ...]
    action: tuple[Signal, ...]
    frames: int
    period_s: float
    rig: str | None


def generic_signals(observation_size: int, action_size: int) -> Signals:
    """Return signals for a model without metadata: o0, o1, … and a0, a1, …, without limits."""
    return Signals(
        observation=tuple(Signal(f"o{index}") for index in range(observation_size)),
        action=tuple(Signal(f"a{index}") for index in range(action_size)),
        frames=1,
        period_s=0.0,
        rig=None,
    )


def parse_json_object(text: str, where: str) -> dict[str, Any]:
    """Parse a JSON object from metadata; `where` names it in the error.

    Raises:
        UserError: not JSON, nested too deeply, or not an object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON ({error}); make the file again") from error
    if not isinstance(value, dict):
        raise UserError(f"{where} is {shown(value)}, not a JSON object; make the file again")
    return value


def parse_signals(value: Any, where: str) -> Signals:
    """Parse signals from JSON in the form of `PolicyGraph.signals`.

    Raises:
        UserError: a field is missing or has the wrong type; the message names `where` and the
            field.
    """
    if not isinstance(value, dict):
        raise UserError(f"{where} is {shown(value)}; give an object with observation and action")
    frames, period_s, rig = value.get("frames", 1), value.get("period_s", 0.0), value.get("rig")
    if not isinstance(frames, int) or isinstance(frames, bool) or not 1 <= frames <= MOST_SIGNALS:
        raise UserError(f"{where}.frames is {shown(frames)}; give a whole number from 1")
    if rig is not None and not isinstance(rig, str):
        raise UserError(f"{where}.rig is {shown(rig)}; give a name or null")
    return Signals(
        observation=_parse_side(value.get("observation"), f"{where}.observation"),
        action=_parse_side(value.get("action"), f"{where}.action"),
        frames=frames,
        period_s=_number(period_s, f"{where}.period_s"),
        rig=rig,
    )


def _parse_side(value: Any, where: str) -> tuple[Signal, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_SIGNALS:
        raise UserError(f"{where} is {shown(value)}; give a list of 1 to {MOST_SIGNALS} signals")
    return tuple(_parse_signal(item, f"{where}[{index}]") for index, item in enumerate(value))


def _parse_signal(value: Any, where: str) -> Signal:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise UserError(f"{where} is {shown(value)}; give an object with a name")
    unit = value.get("unit", "1")
    if not isinstance(unit, str):
        raise UserError(f"{where}.unit is {shown(unit)}; give text")
    return Signal(
        name=value["name"],
        unit=unit,
        scale=_number(value.get("scale", 1.0), f"{where}.scale"),
        offset=_number(value.get("offset", 0.0), f"{where}.offset"),
        low=_limit(value.get("low"), f"{where}.low"),
        high=_limit(value.get("high"), f"{where}.high"),
        levels=_levels(value.get("levels", []), f"{where}.levels"),
    )


def _levels(value: Any, where: str) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) > MOST_SIGNALS:
        raise UserError(f"{where} is {shown(value)}; give a list of numbers")
    return tuple(_number(level, f"{where}[{index}]") for index, level in enumerate(value))


def _limit(value: Any, where: str) -> float | None:
    return None if value is None else _number(value, where)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UserError(f"{where} is {shown(value)}; give a number")
    try:
        return float(value)
    except OverflowError:
        raise UserError(f"{where} is a number of {len(str(value))} digits; give a float") from None


def shown(value: Any) -> str:
    """Format a value from a file in one short line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
