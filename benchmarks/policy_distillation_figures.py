"""Draw docs/policy_distillation.svg and online_distillation.svg from the results.

python benchmarks/policy_distillation_figures.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from online_distillation_tables import means
from policy_distillation_tables import LOSSES, PAPER, RESULTS, Returns, share

from sparsectl.common.files import read_json

DOCS = Path(__file__).resolve().parent.parent / "docs"

JSON = dict[str, Any]


def gathered(rows: list[JSON]) -> Returns:
    """Of each game, the returns of each seed's student."""
    found: Returns = {}
    for row in rows:
        for game, returns in row["returns"].items():
            found.setdefault(game, []).append(returns)
    return found


def point(axes: Any, place: float, rows: list[JSON], teachers: Any, **style: Any) -> None:
    """The share of the teachers' score with its interval."""
    value, low, high = share(gathered(rows), teachers)
    style = {"fmt": "o", "capsize": 3, "linewidth": 1} | style
    axes.errorbar(place, value, [[value - low], [high - value]], **style)


def sizes(axes: Any, found: JSON) -> None:
    """Share of the score against size, a colour a loss; the paper's KL as crosses."""
    single = [row for row in found["rows"] if row["kind"] == "single"]
    for number, loss in enumerate(LOSSES):
        of_loss = [row for row in single if row["loss"] == loss]
        games = len(gathered(of_loss))
        for nth, size in enumerate(sorted({row["size"] for row in of_loss})):
            own = [row for row in of_loss if row["size"] == size]
            label = f"{LOSSES[loss]}, {games} games" if nth == 0 else None
            place = size * 1.05 ** (number - 1)
            style = {"color": f"C{number}", "label": label, "markersize": 4}
            point(axes, place, own, found["teachers"], **style)
    papers = {size: value for (_, size), value in PAPER.items()}
    axes.plot(list(papers), list(papers.values()), "x", color="0.4", label="KL, paper, on Atari")
    axes.set(xscale="log", xlabel="size, per cent of the teacher's weights")
    axes.set_xticks([4, 7, 25], ["4", "7", "25"])
    axes.minorticks_off()
    axes.set_title("Losses by sizes", fontsize=9)


def weights(axes: Any, rows: list[JSON], teachers: Any) -> None:
    """Share of the score against bytes of tables: dense sizes, sparse, small and dense."""
    kinds = {"single": ("dense, by size", "C0"), "sparse": ("sparse", "C3")}
    kinds["small"] = ("small and dense, of the sparse ones' bytes", "C2")
    for kind, (label, colour) in kinds.items():
        own = [row for row in rows if row["kind"] == kind and row["loss"] == "kl"]
        for nth, size in enumerate(sorted({row.get("size", 0) for row in own})):
            at = [row for row in own if row.get("size", 0) == size]
            place = float(np.mean([row["table_bytes"] for row in at]))
            named = label if nth == 0 else None
            point(axes, place, at, teachers, color=colour, label=named)
    axes.set(xscale="log", xlabel="kB of tables, mean over games")
    axes.set_xticks([3000, 6000, 12_000, 24_000, 48_000], ["3", "6", "12", "24", "48"])
    axes.minorticks_off()
    games = {row["game"] for row in rows if row["kind"] == "sparse"}
    axes.set_title(f"At fixed bytes, KL, {len(games)} games", fontsize=9)


def online(axes: Any, found: JSON) -> None:
    """Scores of teacher and students along the teacher's training."""
    frames, teacher = found["teacher"]["frames"], found["teacher"]
    axes.plot(frames, means(teacher["now"]), ":", color="0.5", label="teacher as it stands")
    axes.plot(frames, means(teacher["best"]), color="0.2", label="best copy so far")
    for number, row in enumerate(found["students"]):
        label = f"students of {found['settings']['size']} %" if number == 0 else None
        axes.plot(frames, means(row["returns"]), color="C0", lw=1, alpha=0.6, label=label)
    axes.set(xlabel="teacher's frames", ylabel="score")
    axes.set_title("Students of a teacher that still learns", fontsize=9)
    axes.legend(fontsize=7)


def main() -> None:
    """Both figures; text stays text, which keeps the files small."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "sparsectl"
    from matplotlib import pyplot

    found = read_json(RESULTS)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    sizes(left, found)
    weights(right, found["rows"], found["teachers"])
    for axes in (left, right):
        axes.axhline(1, color="0.6", linewidth=0.8)
        axes.set_ylabel("share of the teachers' score")
        axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    figure.savefig(DOCS / "policy_distillation.svg", metadata={"Date": None})
    figure, axes = pyplot.subplots(figsize=(5.5, 3.4), layout="constrained")
    online(axes, read_json(RESULTS.with_name("online_distillation.json")))
    figure.savefig(DOCS / "online_distillation.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
