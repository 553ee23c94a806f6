"""Plot the encodings that an export measured on its board, flash against time: for the report's
page, and as choice.svg beside the policy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path, read_json
from sparsectl.hil.report.figures import FIRST, GOOD, MUTED, RULE, Plot, draw_plot

CHOICE = "choice.json"


@dataclass(frozen=True)
class Measured:
    """An encoding that ran on the board."""

    encoding: str
    time: float
    """Time of the slowest call, in the choice's unit."""
    flash: float
    """Bytes."""
    error: float | None
    """Relative to the action's range; None: the file does not contain it."""
    is_front: bool
    """True if no other encoding is better in time, flash, RAM and error at once."""
    is_over: bool
    """True if it exceeds a limit."""


@dataclass(frozen=True)
class MeasuredChoice:
    """The measured encodings in choice.json."""

    board: str
    unit: str
    """Unit of the time: cycles, instructions or microseconds."""
    encoding: str
    """The chosen one."""
    limits: dict[str, float]
    """Limits of cycles and flash, if given."""
    measured: tuple[Measured, ...]


@dataclass(frozen=True)
class _Colours:
    chosen: str
    other: str
    over: str
    text: str
    limit: str


_PAGE: Final = _Colours(GOOD, FIRST, MUTED, MUTED, RULE)
_FILE: Final = _Colours("tab:red", "tab:blue", "tab:gray", "black", "tab:gray")


def read_choice(folder: Path) -> MeasuredChoice | None:
    """Read what `export --board` measured, if it did, without encodings that do not run there.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / CHOICE
    if not path.is_file():
        return None
    try:
        said = read_json(path)
        return MeasuredChoice(
            board=str(said["board"]),
            unit=str(said["time_unit"]),
            encoding=str(said["encoding"]),
            limits={n: _over_0(v) for n, v in said.get("limits", {}).items() if n in _LIMITS},
            measured=tuple(_measured(row) for row in said["candidates"] if "reason" not in row),
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path} is damaged: {error}; export with --board again") from error


_LIMITS: Final = ("cycles", "flash")


def _measured(row: dict[str, Any]) -> Measured:
    return Measured(
        encoding=str(row["encoding"]),
        time=_over_0(row["time"]),
        flash=_over_0(row["flash"]),
        error=float(row["error"]) if "error" in row else None,
        is_front=bool(row["front"]),
        is_over=bool(row.get("over")),
    )


def _over_0(value: Any) -> float:
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{value} is not a number above 0")
    return number


def encoding_plot(choice: MeasuredChoice) -> Plot:
    """Plot for the report's page."""

    def draw(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        _draw(axes, choice, _PAGE, 0.35 if narrow else 0.2)
        axes.set_title("Flash (bytes)")

    words = "; ".join(
        f"{each.encoding} {each.time:,.0f} {choice.unit}, {each.flash:,.0f} bytes"
        for each in choice.measured
    )
    description = f"Encodings on {choice.board}: {words}"
    return draw_plot("encodings", description, (4.6, 5.0), draw)


def write_encoding_plot(choice: MeasuredChoice, path: Path) -> None:
    """Write the same plot as an SVG file."""
    style: dict[Any, Any] = {"svg.hashsalt": "sparsectl", "svg.fonttype": "none"}
    with matplotlib.rc_context(style), atomic_path(path) as temporary:
        figure = Figure(figsize=(7.2, 4.8), layout="constrained")
        axes = figure.subplots()
        _draw(axes, choice, _FILE, 0.25)
        axes.set_ylabel("flash, bytes")
        axes.set_title(f"Encodings on {choice.board}\n{LEGEND}", fontsize=9)
        figure.savefig(temporary, format="svg", metadata={"Date": None})


LEGEND: Final = "in brackets: error, of the action's range; filled: nothing beats it in everything"


_FAR: Final = 4.0
"""A limit that exceeds the measurements by this factor is not drawn, since it would only shrink the
picture."""


def _draw(axes: Axes, choice: MeasuredChoice, colours: _Colours, margin: float) -> None:
    """Draw a point per encoding: filled where no other dominates it, grey where it exceeds a limit,
    and the chosen one in a colour of its own. Limits are drawn as lines where they are near."""
    for each in choice.measured:
        chosen = each.encoding == choice.encoding
        colour = colours.chosen if chosen else colours.over if each.is_over else colours.other
        face = colour if each.is_front else "none"
        axes.scatter(each.time, each.flash, s=60, facecolors=face, edgecolors=colour, zorder=3)
    greatest = {
        "cycles": max((each.time for each in choice.measured), default=0.0),
        "flash": max((each.flash for each in choice.measured), default=0.0),
    }
    for name, line in (("cycles", axes.axvline), ("flash", axes.axhline)):
        if choice.limits.get(name, math.inf) <= _FAR * greatest[name]:
            line(choice.limits[name], linestyle="--", linewidth=0.8, color=colours.limit)
    axes.set(xscale="log", yscale="log", xlabel=f"{choice.unit}, worst call on {choice.board}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.margins(x=margin, y=0.2)
    _write_labels(axes, choice, colours.text)


_HEIGHT: Final = 13.0
"""Size of a label, in points."""
_CHARACTER: Final = 5.5
"""Width of one, in points."""


def _write_labels(axes: Axes, choice: MeasuredChoice, colour: str) -> None:
    """Write a label beside each point, as near as neither another label nor a point is in its
    way."""
    axes.autoscale_view()
    points = 72 / axes.figure.dpi
    left, right = (axes.transAxes.transform((x, 0))[0] * points for x in (0, 1))
    places = [axes.transData.transform((m.time, m.flash)) * points for m in choice.measured]
    taken = [(x - 5, x + 5, y) for x, y in places]
    for each, (x, y) in zip(choice.measured, places, strict=True):
        text = _label(each, each.encoding == choice.encoding)
        width = _CHARACTER * len(text)
        for up, start in product(range(0, 200, 2), (x + 8, x - 8 - width, x - width / 2)):
            inside = left <= start and start + width <= right
            clear = all(
                end <= start or start + width <= begin or abs(y + up - height) >= _HEIGHT
                for begin, end, height in taken
            )
            if inside and clear:
                break
        taken.append((start, start + width, y + up))
        is_left = start + width < x
        axes.annotate(
            text,
            (each.time, each.flash),
            xytext=(-8 if is_left else start - x, up - 4),
            textcoords="offset points",
            fontsize=9,
            color=colour,
            ha="right" if is_left else "left",
        )


def _label(measured: Measured, chosen: bool) -> str:
    notes = ["chosen"] if chosen else []
    notes += [] if measured.error is None else [f"{measured.error:.1g}"]
    return f"{measured.encoding} ({', '.join(notes)})" if notes else measured.encoding
