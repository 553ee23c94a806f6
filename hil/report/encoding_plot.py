"""The encodings that an export measured on its board: flash against time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json
from sparsectl.hil.report.figures import FIRST, GOOD, MUTED, Plot, draw_plot

CHOICE = "choice.json"


def read_choice(folder: Path) -> dict[str, Any] | None:
    """What `export --board` measured, if it did: board, time_unit, encoding, limits, candidates.

    Candidates without figures (an encoding that does not run there) are left out.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / CHOICE
    if not path.is_file():
        return None
    choice = read_json(path)
    try:
        rows = [row for row in choice["candidates"] if "reason" not in row]
        for row in rows:
            if not (math.isfinite(row["time"]) and row["time"] > 0 and row["flash"] > 0):
                raise ValueError(f"time {row['time']}, flash {row['flash']}")
        return {
            "board": str(choice["board"]),
            "time_unit": str(choice["time_unit"]),
            "encoding": str(choice["encoding"]),
            "rows": [
                (str(row["encoding"]), float(row["time"]), float(row["flash"]), bool(row["front"]))
                for row in rows
            ],
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}; export with --board again") from error


def encoding_plot(choice: dict[str, Any]) -> Plot:
    """A point an encoding; filled where no other beats it, and the chosen one in another colour."""
    board, unit, chosen = choice["board"], choice["time_unit"], choice["encoding"]

    def draw(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for name, time, flash, is_front in choice["rows"]:
            colour = GOOD if name == chosen else FIRST
            face = colour if is_front else "none"
            axes.scatter([time], [flash], s=60, facecolors=face, edgecolors=colour, zorder=3)
            word = f"{name} (chosen)" if name == chosen else name
            _write(axes, word, time, flash, above=name == chosen)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
            axis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.35 if narrow else 0.2, y=0.2)
        axes.set_xlabel(f"{unit}, worst call on {board}")
        axes.set_title("Flash (bytes)")

    words = "; ".join(
        f"{name} {time:,.0f} {unit}, {flash:,.0f} bytes" for name, time, flash, _ in choice["rows"]
    )
    return draw_plot("encodings", f"Encodings on {board}: {words}", (4.6, 5.0), draw)


def _write(axes: Axes, word: str, time: float, flash: float, above: bool) -> None:
    at, side = ((0, 10), "center") if above else ((7, 4), "left")
    axes.annotate(
        word, (time, flash), xytext=at, textcoords="offset points", fontsize=9, color=MUTED, ha=side
    )
