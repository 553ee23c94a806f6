"""The stages of a distillation: what is done, and so what comes next.

Distillation, rounds of it on student-driven data, then fine-tunings for as long as the target wants
more. Everything follows from the entries of the finished stages, so a run that was killed goes on
as it would have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sparsectl.training.distillation.presets import Preset
from sparsectl.training.distillation.targets import Target, score

JSON = dict[str, Any]


FINALISTS = 3
FINAL = "final_"
"""Before the names of what is measured of them."""


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        kind: bpd: the distillation. dagger: more of it after a round. finetune: under the mask.
        number: of its kind, from 0; from 1 for dagger.
        keep: weights that a fine-tuning may leave; 0: no fewer than now.
        data_round: of student-driven data that it begins with; 0: none.
        tries: times as many transitions are driven in it as are kept.
    """

    kind: Literal["bpd", "dagger", "finetune"]
    number: int
    keep: int = 0
    data_round: int = 0
    tries: int = 1

    @property
    def name(self) -> str:
        """As in the report: bpd, dagger-1, finetune, finetune-1 …"""
        return f"{self.kind}-{self.number}" if self.number else self.kind


class Stages:
    """The report so far, an entry a finished stage, and what follows from it."""

    def __init__(self, preset: Preset, target: Target) -> None:
        self.preset = preset
        self.target = target
        self.report: list[JSON] = []

    def next(self) -> Stage | None:
        """The stage to do; None: all are done."""
        number, daggers = len(self.report), self.preset.dagger.rounds
        if number == 0:
            return Stage("bpd", 0)
        if number <= daggers:
            return Stage("dagger", number, data_round=number)
        keep = self.target.next(self.fine_tuned()) if self.preset.finetune.steps else None
        if keep is None:
            return None
        number -= 1 + daggers
        if not (number and self.preset.online):
            return Stage("finetune", number, keep)
        return Stage("finetune", number, keep, daggers + number, self._tries())

    def fine_tuned(self) -> list[JSON]:
        """The entries of the finished fine-tunings."""
        return self.report[1 + self.preset.dagger.rounds :]

    def judged(self, kept_weights: int) -> bool:
        """Whether a fine-tuned student of that size may be the result."""
        return self.target.judges(kept_weights)

    def clear(self, figures: JSON) -> bool:
        """Whether figures of a fine-tuned student say if it meets the target."""
        return self.target.clear(figures)

    def finalists(self) -> list[JSON]:
        """Entries of students among which more episodes decide; none where there is no choice."""
        done = self.fine_tuned()
        ranked = self.target.ranked(done)[:FINALISTS] if self.preset.final_episodes else []
        measured = all("return_mean" in done[index] for index in ranked)
        return [done[index] for index in ranked] if len(ranked) > 1 and measured else []

    def chosen(self) -> JSON:
        """The entry of the stage of the result: of the last, where none meets the target."""
        done = self.fine_tuned()
        if not done:
            return self.report[-1]
        if finalists := self.finalists():
            return max(finalists, key=lambda entry: score(entry, FINAL))
        ranked = self.target.ranked(done)
        return done[ranked[0] if ranked else -1]

    def left(self, seconds: list[float]) -> str:
        """How many fine-tunings are still to come; in how many minutes, from those `seconds`."""
        number, total = len(self.fine_tuned()), self.target.fine_tunings()
        if total is None or not self.preset.finetune.steps:
            return ""
        minutes = (total - number) * sum(seconds) / len(seconds) / 60 if seconds else None
        return f" of {total - 1}" + (f", {minutes:.0f} min left" if minutes is not None else "")

    def _tries(self) -> int:
        """Rare failures are sought where they decide: of students that may be the result."""
        judged = self.judged(int(self.report[-1]["kept_weights"]))
        return self.preset.dagger.tries if judged else 1
