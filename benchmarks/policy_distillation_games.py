"""The documentation's table of Policy Distillation game by game."""

from __future__ import annotations

import numpy as np
from policy_distillation_tables import LOSSES, RESULTS, share

from sparsectl.common.files import read_json


def policy_distillation_games() -> list[str]:
    """A column a loss and size: in each game the share of the teacher's score, and how often a
    student chooses otherwise than its teacher."""
    found = read_json(RESULTS)
    rows = [row for row in found["rows"] if row["kind"] == "single"]
    teachers = found["teachers"]
    columns = sorted({(row["size"], row["loss"]) for row in rows}, key=_order)
    lines = [["game", *(f"{LOSSES[loss]}, {size} %" for size, loss in columns)]]
    lines.append(["---"] * len(lines[0]))
    for game in teachers:
        cells = []
        for size, loss in columns:
            own = [row for row in rows if (row["size"], row["loss"]) == (size, loss)]
            own = [row for row in own if row["game"] == game]
            if not own:
                cells.append("–")
                continue
            value, low, high = share({game: [row["returns"][game] for row in own]}, teachers)
            others = np.mean([row["other_choices"] for row in own])
            cells.append(f"{value:.0%} [{low:.0%}, {high:.0%}]; {others:.1%}")
        lines.append([game, *cells])
    return [f"| {' | '.join(line)} |" for line in lines]


def _order(column: tuple[int, str]) -> tuple[int, int]:
    return -column[0], list(LOSSES).index(column[1])


TABLES = {"policy_distillation_games": policy_distillation_games}
