"""The documentation's table of Policy Distillation game by game, of students that learnt for
longer."""

from __future__ import annotations

import numpy as np
from policy_distillation_tables import LONG, LOSSES, Returns, share

from sparsectl.common.files import read_json

STRONG = ("breakout", "space_invaders", "freeway")
"""Games whose teachers are good; those of the others are weak."""


def policy_distillation_games() -> list[str]:
    """A column a loss and size: in each game the share of the teacher's score, and how often a
    student chooses otherwise than its teacher."""
    found = read_json(LONG)
    rows, teachers = found["rows"], found["teachers"]
    columns = sorted({(row["size"], row["loss"]) for row in rows}, key=_order)
    lines = [["game", *(f"{LOSSES[loss]}, {size} %" for size, loss in columns)]]
    lines.append(["---"] * len(lines[0]))
    weak = tuple(game for game in teachers if game not in STRONG)
    groups = {game: (game,) for game in teachers}
    groups |= {"the first three": STRONG, "the last two": weak}
    for name, games in groups.items():
        cells = []
        for size, loss in columns:
            own = [row for row in rows if (row["size"], row["loss"]) == (size, loss)]
            returns: Returns = {}
            for row in own:
                if row["game"] in games:
                    returns.setdefault(row["game"], []).append(row["returns"][row["game"]])
            others = [row["other_choices"] for row in own if row["game"] in games]
            value, low, high = share(returns, teachers)
            cells.append(f"{value:.0%} [{low:.0%}, {high:.0%}]; {np.mean(others):.1%}")
        lines.append([name, *cells])
    return [f"| {' | '.join(line)} |" for line in lines]


def _order(column: tuple[int, str]) -> tuple[int, int]:
    return -column[0], list(LOSSES).index(column[1])


TABLES = {"policy_distillation_games": policy_distillation_games}
