"""Discrete actions: the index of one of a few choices, selected by the greatest of their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sparsectl.policy.signals import INDEX

Q_VALUES: Final = "q_values"
LOGITS: Final = "logits"
VALUES: Final[dict[str, tuple[str, ...]]] = {
    Q_VALUES: ("q", "q_value", "q_values", "qvalue", "qvalues"),
    LOGITS: ("logits", "action_logits", "action_dist_inputs"),
}
"""The kinds of value that a network may output for each choice, and the names that ONNX files have
for such outputs."""


@dataclass(frozen=True)
class Choices:
    """A Discrete space, and what a policy outputs for each of its choices.

    Attributes:
        first: index of the first choice; the others follow in steps of 1.
        count: number of choices; 0: not known.
        values: `q_values` or `logits`; None: the policy outputs the index alone.
        levels: the value of each choice in the actuator's unit; empty: not known.
    """

    first: int
    count: int
    values: str | None = None
    levels: tuple[float, ...] = ()

    @property
    def last(self) -> int:
        """Index of the last choice."""
        return self.first + self.count - 1


def choices_of(signals: dict[str, Any] | None) -> Choices | None:
    """Return the choices that an action with these signals is the index of; None if the action is
    continuous or its signals are not known."""
    entries = signals.get("action") if isinstance(signals, dict) else None
    if not isinstance(entries, list) or len(entries) != 1 or entries[0].get("unit") != INDEX:
        return None
    low, high = entries[0].get("low"), entries[0].get("high")
    levels = tuple(entries[0].get("levels") or ())
    if low is None or high is None:
        return Choices(int(entries[0].get("offset", 0)), 0, levels=levels)
    return Choices(int(low), int(high) - int(low) + 1, levels=levels)


def other_duties(choices: Choices | None, duties: Sequence[float]) -> str | None:
    """Explain why a policy cannot drive a rig's motor; None if it can.

    Args:
        choices: those of the policy; None: it outputs the duty itself.
        duties: those of the rig, which takes the index of one; empty: it takes the duty itself.
    """
    if choices is None:
        if not duties:
            return None
        return f"gives a real number, the rig's motor takes one of {len(duties)} duties"
    if not duties:
        return f"takes {_among(choices)}, the rig's motor takes any duty"
    if choices.count and (choices.first, choices.count) != (0, len(duties)):
        return f"takes {_among(choices)}, the rig's motor has {len(duties)} duties, from 0 on"
    if choices.levels and not same_levels(choices.levels, duties):
        ours = ", ".join(f"{duty:g}" for duty in duties)
        theirs = ", ".join(f"{level:g}" for level in choices.levels)
        return f"was trained to choose among the duties {theirs}, the rig has {ours}"
    return None


def same_levels(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether both have the same values in the same order, as float32."""
    return np.array_equal(np.asarray(one, np.float32), np.asarray(other, np.float32))


def _among(choices: Choices) -> str:
    if not choices.count:
        return "one of a few choices"
    return f"one of {choices.count} choices, from {choices.first} on"
