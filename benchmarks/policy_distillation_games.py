"""The documentation's table of Policy Distillation game by game."""

from __future__ import annotations

from typing import Any

import numpy as np
from policy_distillation_tables import LOSSES, RESULTS, share

from sparsectl.common.files import read_json

MUON = RESULTS.with_name("policy_distillation_muon.json")
"""Students that were fine-tuned by Muon, which has taken Adam's place since the others."""


def policy_distillation_games() -> list[str]:
    """A column a loss, size and optimiser: in each game the share of the teacher's score, and how
    often a student chooses otherwise than its teacher."""
    columns = []
    for path, by in ((RESULTS, "Adam"), (MUON, "Muon")):
        found = read_json(path)
        rows = [row for row in found["rows"] if row["kind"] == "single"]
        for size, loss in {(row["size"], row["loss"]) for row in rows}:
            own = [row for row in rows if (row["size"], row["loss"]) == (size, loss)]
            order = -size, list(LOSSES).index(loss), by
            head = f"{LOSSES[loss]}, {size} %, {by}"
            cells = [_cell(own, game, found["teachers"]) for game in found["teachers"]]
            columns.append((order, [head, "---", *cells]))
    games = list(read_json(RESULTS)["teachers"])
    lines = zip(["game", "---", *games], *(cells for _, cells in sorted(columns)), strict=True)
    return [f"| {' | '.join(line)} |" for line in lines]


def _cell(rows: list[dict[str, Any]], game: str, teachers: dict[str, list[float]]) -> str:
    own = [row for row in rows if row["game"] == game]
    if not own:
        return "–"
    value, low, high = share({game: [row["returns"][game] for row in own]}, teachers)
    others = np.mean([row["other_choices"] for row in own])
    seeds = "1 seed" if len(own) == 1 else f"{len(own)} seeds"
    return f"{value:.0%} [{low:.0%}, {high:.0%}]; {others:.1%}; {seeds}"


TABLES = {"policy_distillation_games": policy_distillation_games}
