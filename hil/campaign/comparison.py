"""The result of a campaign: each policy's figures, and which policy is better."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sparsectl.hil.campaign.journalled import Outcome
from sparsectl.hil.campaign.score import Interval, interim_analyses, mean_interval, share_interval

A_BETTER, B_BETTER, ALIKE, OPEN = "A is better", "B is better", "no difference", "not clear yet"


@dataclass(frozen=True)
class Comparison:
    """The comparison of A with B."""

    words: str
    difference: Interval
    """Difference of the scores of A and B, seed by seed; the interval holds for all interim
    analyses together."""
    pairs: int

    @property
    def is_clear(self) -> bool:
        """Return whether the result is decided, so that more trials would not change it."""
        return self.words != OPEN


def compare(
    a: Sequence[Outcome], b: Sequence[Outcome], margin: float, most_pairs: int
) -> Comparison | None:
    """Compare the seeds that both have; None if there are fewer than two.

    An interval that is entirely within ± margin counts as no difference, even if it excludes 0.
    """
    of_b = {outcome.seed: outcome.score for outcome in b}
    differences = [o.score - of_b[o.seed] for o in a if o.seed in of_b]
    if len(differences) < 2:
        return None
    found = mean_interval(differences, len(interim_analyses(most_pairs)), (-1.0, 1.0))
    words = OPEN
    if -margin < found.low and found.high < margin:
        words = ALIKE
    elif found.excludes(0.0):
        words = A_BETTER if found.value > 0 else B_BETTER
    return Comparison(words, found, len(differences))


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of a policy's trials."""
    times_s = [o.swing_up_seconds for o in outcomes if o.swing_up_seconds is not None]
    score = mean_interval([outcome.score for outcome in outcomes])
    return {
        "trials": len(outcomes),
        "score": asdict(score),
        "worst_score": min(outcome.score for outcome in outcomes),
        "balanced": asdict(share_interval(sum(o.balanced for o in outcomes), len(outcomes))),
        "swing_up_seconds_median": statistics.median(times_s) if times_s else None,
        "kicks_missed_seeds": [outcome.seed for outcome in outcomes if outcome.kicks_missed],
        "failed_seeds": [outcome.seed for outcome in outcomes if not outcome.balanced],
    }


def table(by_label: dict[str, Sequence[Outcome]], names: dict[str, str]) -> list[list[str]]:
    """Return the figures as a table for the terminal."""
    head = ["policy", "trials", "upright from the capture", "worst", "balanced", "kick missed"]
    rows = [[*head, "swing-up"]]
    for label, outcomes in by_label.items():
        of = figures(outcomes)
        score, balanced = of["score"], of["balanced"]
        median = of["swing_up_seconds_median"]
        count = round(balanced["value"] * of["trials"])
        rows.append(
            [
                f"{label}  {names[label]}",
                str(of["trials"]),
                f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]",
                f"{of['worst_score']:.3f}",
                f"{count} [{balanced['low']:.0%}, {balanced['high']:.0%}]",
                str(len(of["kicks_missed_seeds"])),
                "never" if median is None else f"{median:.1f} s",
            ]
        )
    return rows
