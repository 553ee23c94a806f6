"""The stages of a distillation, and which one comes next.

The distillation, rounds of it on student-driven data, then fine-tunings as long as the target asks
for more. Everything follows from the entries of the finished stages, so a killed run continues as
it would have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sparsectl.training.distillation.presets import Preset
from sparsectl.training.distillation.targets import Target, score

JSON = dict[str, Any]


FINALISTS = 3
SEARCH = "search"
FINAL = "final_"
"""Prefix of the names of what is measured of the finalists."""


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        kind: bpd: the distillation; dagger: more of it after a round; finetune: training under the
            mask; search: the best of these students, by its own return.
        number: index within its kind, from 0; for dagger from 1.
        keep: the most weights after a fine-tuning; 0: as many as now.
        data_round: the round of student-driven data that it begins with; 0: none.
        tries: how many times more transitions are driven in it than are kept.
    """

    kind: Literal["bpd", "dagger", "finetune", "search"]
    number: int
    keep: int = 0
    data_round: int = 0
    tries: int = 1

    @property
    def name(self) -> str:
        """Name in the report: bpd, dagger-1, finetune, finetune-1 …, search"""
        return f"{self.kind}-{self.number}" if self.number else self.kind


class Stages:
    """The report so far, one entry per finished stage, and what follows from it."""

    def __init__(self, preset: Preset, target: Target) -> None:
        self.preset = preset
        self.target = target
        self.report: list[JSON] = []

    def next(self) -> Stage | None:
        """Return the next stage; None: all are done."""
        number, daggers = len(self.report), self.preset.dagger.rounds
        if self.searched():
            return None
        if number == 0:
            return Stage("bpd", 0)
        if number <= daggers:
            return Stage("dagger", number, data_round=number)
        keep = self.target.next(self.fine_tuned()) if self.preset.finetune.steps else None
        if keep is None:
            return Stage("search", 0) if self.preset.search.generations else None
        number -= 1 + daggers
        if not (number and self.preset.online):
            return Stage("finetune", number, keep)
        return Stage("finetune", number, keep, daggers + number, self._tries())

    def fine_tuned(self) -> list[JSON]:
        """Return the entries of the finished fine-tunings."""
        return self.report[1 + self.preset.dagger.rounds :]

    def searched(self) -> bool:
        """Return whether the search, which is the last stage, is done."""
        return bool(self.report) and self.report[-1]["name"] == SEARCH

    def judged(self, kept_weights: int) -> bool:
        """Return whether a fine-tuned student of that size may be the result."""
        return self.target.judges(kept_weights)

    def clear(self, figures: JSON) -> bool:
        """Return whether the figures of a fine-tuned student decide if it meets the target."""
        return self.target.clear(figures)

    def finalists(self) -> list[JSON]:
        """Return the entries of students among which more episodes decide; none if there is no
        choice."""
        done = self.fine_tuned()
        ranked = self.target.ranked(done)[:FINALISTS] if self.preset.final_episodes else []
        measured = all("return_mean" in done[index] for index in ranked)
        return [done[index] for index in ranked] if len(ranked) > 1 and measured else []

    def chosen(self) -> JSON:
        """Return the entry of the result's stage: the last one, if none meets the target."""
        done = self.fine_tuned()
        if not done:
            return self.report[-1]
        if finalists := self.finalists():
            return max(finalists, key=lambda entry: score(entry, FINAL))
        ranked = self.target.ranked(done)
        return done[ranked[0] if ranked else -1]

    def left(self, seconds: list[float]) -> str:
        """Format how many fine-tunings are left and, from the durations `seconds`, the minutes that
        they take."""
        number, total = len(self.fine_tuned()), self.target.fine_tunings()
        if total is None or not self.preset.finetune.steps:
            return ""
        minutes = (total - number) * sum(seconds) / len(seconds) / 60 if seconds else None
        return f" of {total - 1}" + (f", {minutes:.0f} min left" if minutes is not None else "")

    def _tries(self) -> int:
        """Return how many times more transitions are driven than kept: rare failures are sought
        only in students that may be the result."""
        judged = self.judged(int(self.report[-1]["kept_weights"]))
        return self.preset.dagger.tries if judged else 1
