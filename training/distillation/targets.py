"""What a user wants of a student, and so how many weights the next fine-tuning may leave.

A target looks at the fine-tunings that are done and says what comes next, so a run that was killed
goes on as it would have. Those it looks at are entries of the report: `keep` (weights asked for),
`kept_weights`, and where there is an environment `return_mean`, `return_worst_tenth`,
`return_worst_hundredth` and, beside a teacher, the interval of the paired difference from it.
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
"""Fine-tunings at one size before a wanted return is given up."""


class Target(Protocol):
    """How the sizes go on, and which of the students is the one."""

    def next(self, done: Done) -> int | None:
        """Weights at most after the next fine-tuning; 0: no fewer than now; None: it is enough."""

    def ranked(self, done: Done) -> list[int]:
        """Those of them that may be the result, the best first; none: the last is."""

    def fine_tunings(self) -> int | None:
        """How many there will be, where that is known."""

    def judges(self, kept_weights: int) -> bool:
        """Whether a student of that size may be the one, so that its return must be known well."""

    def clear(self, figures: JSON) -> bool:
        """Whether the figures of a student that may be the one say if it meets the target."""


def score(entry: JSON, of: str = "") -> float:
    """Mean return plus those of the worst tenth and hundredth; offline, how close the actions are.

    In the worst hundredth a rare failure weighs as much as it does on a rig. The least alone would
    not tell one failure in many episodes from three. `of`: what those names begin with.
    """
    if "return_mean" in entry:
        parts = ("return_mean", "return_worst_tenth", "return_worst_hundredth")
        return sum(float(entry[of + part]) for part in parts)
    return -float(entry["imitation_error"])


def by_score(done: Done, allowed: Sequence[int]) -> list[int]:
    """The allowed, the best by `score` first; the later of equals."""
    return sorted(allowed, key=lambda index: (score(done[index]), index), reverse=True)


def target_of(config: DistillConfig, settings: FinetuneSettings) -> Target:
    """What the config wants."""
    if config.keep and not METHODS[config.method].small:
        return Keep(config.keep, settings.prune_rounds, settings.rounds)
    if config.return_share is not None:
        return Return(config.return_share, PATIENCE)
    if config.table_bytes:
        return TableBytes(config.table_bytes, settings.rounds)
    return Rounds(settings.rounds)


MET, MISSED, UNCLEAR = "met", "missed", "unclear"


def judged_return(share: float, figures: JSON) -> str:
    """Whether a student keeps that share of its teacher's return: met, missed or unclear.

    Met where the whole interval of the paired difference is within the loss that is allowed, missed
    where the whole interval is beyond it.

    Args:
        share: of the teacher's mean return.
        figures: with difference_low and difference_high, shares of that mean.
    """
    allowed = -(1 - share)
    if figures["difference_low"] >= allowed:
        return MET
    return MISSED if figures["difference_high"] < allowed else UNCLEAR


def verdict(config: DistillConfig, chosen: JSON, evidence: JSON | None) -> str | None:
    """Whether the result meets the target: met, missed or unclear; None where none was given.

    A size is known. A return is judged by the evidence alone.

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
    """No target: what the distillation kept, fine-tuned once and once more a round."""

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
"""From one size to the next while the target is fulfilled."""


@dataclass(frozen=True)
class Return:
    """The fewest weights with this share of the teacher's return.

    Students are chosen as the result will be judged, by the interval of what they lose: one that
    has the share in the mean of some episodes alone would as likely as not miss it in others. The
    size falls for as long as the share is met within `patience` fine-tunings at each.
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
        """Those with the fewest weights that meet it; where none does, the likeliest first."""
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

    The size falls by the factor that is missing, half of it a fine-tuning at most; then rounds.
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
