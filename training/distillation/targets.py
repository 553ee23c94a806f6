"""The target for a student, and how many weights the next fine-tuning may leave.

A target examines the finished fine-tunings and returns what comes next, so a killed run continues
as it would have. Their entries in the report contain `keep` (weights requested), `kept_weights`
and, if there is an environment, `return_mean`, `return_worst_tenth`, `return_worst_hundredth` and,
with a teacher, the interval of the paired difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sparsectl.training.config import DistillConfig
from sparsectl.training.distillation.methods import METHODS
from sparsectl.training.settings import FinetuneSettings

JSON = dict[str, Any]
Done = Sequence[JSON]


PATIENCE = 4
"""Fine-tunings at one size before a target return is given up."""


class Target(Protocol):
    """Determines the next size, and which student is the result."""

    def next(self, done: Done) -> int | None:
        """Return the most weights after the next fine-tuning; 0: as many as now; None: no more
        fine-tunings."""

    def ranked(self, done: Done) -> list[int]:
        """Return the indices of those that may be the result, best first; if there are none, the
        last is the result."""

    def fine_tunings(self) -> int | None:
        """Return the number of fine-tunings, if it is known in advance."""

    def judges(self, kept_weights: int) -> bool:
        """Return whether a student of that size may be the result, so that its return must be
        measured well."""

    def clear(self, figures: JSON) -> bool:
        """Return whether the figures of a candidate decide if it meets the target."""


def score(entry: JSON, of: str = "") -> float:
    """Mean return plus those of the worst tenth and hundredth; offline, how close the actions are.

    In the worst hundredth a rare failure counts as much as it does on a rig. The minimum alone
    would not distinguish one failure in many episodes from three. `of`: a prefix of the names of
    these figures.
    """
    if "return_mean" in entry:
        parts = ("return_mean", "return_worst_tenth", "return_worst_hundredth")
        return sum(float(entry[of + part]) for part in parts)
    return -float(entry["imitation_error"])


def by_score(done: Done, allowed: Sequence[int]) -> list[int]:
    """Return the allowed ones, the best by `score` first; of equals the later."""
    return sorted(allowed, key=lambda index: (score(done[index]), index), reverse=True)


def target_of(config: DistillConfig, settings: FinetuneSettings) -> Target:
    """Return the target that the config asks for."""
    if config.keep and not METHODS[config.method].small:
        return Keep(config.keep, settings.prune_rounds, settings.rounds)
    if config.return_share is not None:
        return Return(config.return_share, PATIENCE)
    if config.table_bytes:
        return TableBytes(config.table_bytes, settings.rounds)
    return Rounds(settings.rounds)


MET, MISSED, UNCLEAR = "met", "missed", "unclear"


def judged_return(share: float, figures: JSON) -> str:
    """Judge whether a student keeps that share of its teacher's return: met, missed or unclear.

    It is met if the whole interval of the paired difference is within the allowed loss, and missed
    if the whole interval is beyond it.

    Args:
        share: the required share of the teacher's mean return.
        figures: contain difference_low and difference_high, as shares of that mean.
    """
    allowed = -(1 - share)
    if figures["difference_low"] >= allowed:
        return MET
    return MISSED if figures["difference_high"] < allowed else UNCLEAR


def verdict(config: DistillConfig, chosen: JSON, evidence: JSON | None) -> str | None:
    """Judge whether the result meets the target: met, missed or unclear; None if there is no
    target.

    A size is counted. A return is judged by the evidence alone.

    Args:
        config: with the target.
        chosen: the entry of the result's stage.
        evidence: of the result, with the paired difference from the teacher.
    """
    if config.keep is not None:
        return MET if chosen["kept_weights"] <= config.keep else MISSED
    if config.table_bytes is not None:
        return MET if chosen.get("table_bytes", 0) <= config.table_bytes else MISSED
    if config.return_share is None or evidence is None:
        return None
    return judged_return(config.return_share, evidence)


@dataclass(frozen=True)
class Rounds:
    """No target: the student that the distillation left, fine-tuned once and once more per
    round."""

    rounds: int

    def next(self, done: Done) -> int | None:
        return 0 if len(done) <= self.rounds else None

    def ranked(self, done: Done) -> list[int]:
        return by_score(done, range(len(done)))

    def fine_tunings(self) -> int | None:
        return 1 + self.rounds

    def judges(self, kept_weights: int) -> bool:
        return True

    def clear(self, figures: JSON) -> bool:
        return True


@dataclass(frozen=True)
class Keep:
    """At most `weights`: a few fine-tunings on the way down, then rounds at that size."""

    weights: int
    prune_rounds: int
    rounds: int

    def next(self, done: Done) -> int | None:
        if not done:
            return 0 if self.prune_rounds > 1 else self.weights
        number, start = len(done), max(int(done[0]["kept_weights"]), self.weights)
        if number >= self.fine_tunings():
            return None
        if number >= self.prune_rounds:
            return self.weights
        shrunk: float = start * (self.weights / start) ** (number / self.prune_rounds)
        return math.ceil(shrunk)

    def ranked(self, done: Done) -> list[int]:
        fits = [i for i, entry in enumerate(done) if entry["kept_weights"] <= self.weights]
        return by_score(done, fits)

    def judges(self, kept_weights: int) -> bool:
        return kept_weights <= self.weights

    def clear(self, figures: JSON) -> bool:
        return True

    def fine_tunings(self) -> int:
        down = self.prune_rounds if self.prune_rounds > 1 else 0
        return 1 + down + self.rounds


SHRINK = 0.8
"""Factor from one size to the next while the target is met."""


@dataclass(frozen=True)
class Return:
    """The fewest weights with this share of the teacher's return.

    Students are selected by the criterion for the result, the interval of their loss: one whose
    mean in some episodes just reaches the share would probably miss it in others. The size falls as
    long as the share is met within `patience` fine-tunings at each.
    """

    share: float
    patience: int

    def next(self, done: Done) -> int | None:
        if not done:
            return 0
        size = int(done[-1]["keep"])
        here = [entry for entry in done if entry["keep"] == size]
        if any(self._met(entry) for entry in here):
            fewer = int(SHRINK * min(int(entry["kept_weights"]) for entry in here))
            return fewer or None  # one weight is as few as there are
        return size if len(here) < self.patience else None

    def ranked(self, done: Done) -> list[int]:
        """Return those with the fewest weights that meet the target; if none does, the likeliest
        first."""
        met = [i for i, entry in enumerate(done) if self._met(entry)]
        if not met:
            return sorted(range(len(done)), key=lambda i: (-done[i]["difference_low"], -i))
        fewest = min(done[i]["kept_weights"] for i in met)
        return by_score(done, [i for i in met if done[i]["kept_weights"] == fewest])

    def fine_tunings(self) -> None:
        return None

    def judges(self, kept_weights: int) -> bool:
        return True

    def clear(self, figures: JSON) -> bool:
        return judged_return(self.share, figures) != UNCLEAR

    def _met(self, entry: JSON) -> bool:
        return judged_return(self.share, entry) == MET


@dataclass(frozen=True)
class TableBytes:
    """At most this many bytes after export; entries have `table_bytes`.

    The size falls by the factor that is missing, at most by half per fine-tuning; then rounds
    follow.
    """

    table_bytes: int
    rounds: int

    def next(self, done: Done) -> int | None:
        if not done:
            return 0
        taken, kept = int(done[-1]["table_bytes"]), int(done[-1]["kept_weights"])
        if taken > self.table_bytes:
            factor = max(self.table_bytes / taken, SHRINK**3)
            return max(1, min(int(factor * kept), kept - 1))
        fits = sum(entry["table_bytes"] <= self.table_bytes for entry in done)
        if fits > self.rounds:
            return None
        return int(done[-1]["keep"])

    def ranked(self, done: Done) -> list[int]:
        fits = [i for i, entry in enumerate(done) if entry["table_bytes"] <= self.table_bytes]
        return by_score(done, fits)

    def fine_tunings(self) -> None:
        return None

    def judges(self, kept_weights: int) -> bool:
        return True

    def clear(self, figures: JSON) -> bool:
        return True
