"""choice.svg: flash against time of each encoding, what fits and what does not."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from commands.choice import Candidate, Choice
from common.files import atomic_path

matplotlib.use("Agg")  # no display is needed to write a file
matplotlib.rcParams["svg.hashsalt"] = "sparsectl"  # the same figure gives the same bytes
matplotlib.rcParams["svg.fonttype"] = "none"

from matplotlib import pyplot  # noqa: E402  the backend is chosen before


def draw_choice(choice: Choice, path: Path) -> None:
    """Write the plot: the front as filled points, the chosen one ringed, limits dashed."""
    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    front = {candidate.encoding for candidate in choice.front}
    for candidate in choice.measured:
        on_front = candidate.encoding in front
        face = "tab:blue" if on_front else "none"
        colour = "tab:blue" if not choice.over(candidate) else "tab:gray"
        axes.scatter(candidate.time, candidate.flash, facecolors=face, edgecolors=colour)
        axes.annotate(
            _label(candidate),
            (candidate.time, candidate.flash),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=7,
        )
    best = choice.best
    if best is not None:
        axes.scatter(best.time, best.flash, s=160, facecolors="none", edgecolors="tab:red")
    for name, line in (("cycles", axes.axvline), ("flash", axes.axhline)):
        if name in choice.limits:
            line(choice.limits[name], linestyle="--", linewidth=0.8, color="tab:gray")
    axes.set(xscale="log", yscale="log", xlabel=f"{choice.unit}, worst call", ylabel="flash, bytes")
    axes.set_title(f"Encodings on {choice.board}", fontsize=10)
    axes.margins(0.2)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _label(candidate: Candidate) -> str:
    return f"{candidate.encoding} ({candidate.error:.0e})"
