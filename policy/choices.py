"""A discrete action: one of a few choices, taken by the greatest of their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Q_VALUES: Final = "q_values"
LOGITS: Final = "logits"
VALUES: Final[dict[str, tuple[str, ...]]] = {
    Q_VALUES: ("q", "q_value", "q_values", "qvalue", "qvalues"),
    LOGITS: ("logits", "action_logits", "action_dist_inputs"),
}
"""What a network may give for each choice, and the names that outputs of ONNX files have for it."""


@dataclass(frozen=True)
class Choices:
    """A Discrete space, and what a policy gives for each of its choices.

    Attributes:
        first: number of the first choice; the others count up from it.
        count: how many there are; 0: it is not known.
        values: `q_values` or `logits`; None: the number of the choice alone.
    """

    first: int
    count: int
    values: str | None = None

    @property
    def last(self) -> int:
        """Number of the last choice."""
        return self.first + self.count - 1
