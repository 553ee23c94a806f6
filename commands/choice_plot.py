"""choice.svg: flash against time of each encoding, what fits and what does not."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from sparsectl.commands.choice import Choice
from sparsectl.common.files import atomic_path

matplotlib.use("Agg")  # no display is needed to write a file
matplotlib.rcParams["svg.hashsalt"] = "sparsectl"  # the same figure gives the same bytes
matplotlib.rcParams["svg.fonttype"] = "none"

from matplotlib import pyplot  # noqa: E402  the backend is chosen before
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: E402

TITLE = """\
Encodings on {board} (in brackets: error, of the action's range)
filled: nothing beats it in everything; grey: over a limit; ring: chosen"""


def draw_choice(choice: Choice, path: Path) -> None:
    """Write the plot: the front filled, what is over a limit grey, the chosen one ringed."""
    figure, axes = pyplot.subplots(figsize=(7.2, 4.8), layout="constrained")
    _draw_candidates(choice, axes)
    for name, line in (("cycles", axes.axvline), ("flash", axes.axhline)):
        if name in choice.limits:
            line(choice.limits[name], linestyle="--", linewidth=0.8, color="tab:gray")
    axes.set(xscale="log", yscale="log", xlabel=f"{choice.unit}, worst call", ylabel="flash, bytes")
    axes.set_title(TITLE.format(board=choice.board), fontsize=9)
    axes.margins(x=0.25, y=0.15)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        axis.set_minor_formatter(NullFormatter())
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _draw_candidates(choice: Choice, axes: Axes) -> None:
    front = {candidate.encoding for candidate in choice.front}
    for candidate in choice.measured:
        at = (candidate.time, candidate.flash)
        colour = "tab:gray" if choice.over(candidate) else "tab:blue"
        face = colour if candidate.encoding in front else "none"
        axes.scatter(*at, facecolors=face, edgecolors=colour)
        if candidate is choice.best:
            axes.scatter(*at, s=160, facecolors="none", edgecolors="tab:red")
        label = f"{candidate.encoding} ({candidate.error:.0e})"
        axes.annotate(label, at, xytext=(5, 4), textcoords="offset points", fontsize=7)
