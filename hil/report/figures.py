"""Draw the report's plots: matplotlib to SVG that takes its colours and type from the page.

Each plot is drawn twice, for a wide and for a narrow screen, and the page shows the one that fits:
text then keeps its size on a phone. Colours are stand-ins that become CSS variables, so the same
plot reads in a light and in a dark page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from numpy.typing import ArrayLike, NDArray

INK, MUTED, RULE, PAPER = "#010101", "#020202", "#030303", "#040404"
FIRST, SECOND, GOOD, WARN, BAD = "#050505", "#060606", "#070707", "#080808", "#090909"
CSS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    PAPER: "var(--panel)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    GOOD: "var(--good)",
    WARN: "var(--warn)",
    BAD: "var(--bad)",
}
WIDE_IN, NARROW_IN = 10.0, 4.4
MOST_POINTS = 3000
"""The most points of a line; of longer ones the lowest and highest point of each stretch are
kept."""

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 11,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "path.simplify_threshold": 0.25,
}

Draw = Callable[[Figure, bool], None]
"""Draws on a figure; the flag says whether the screen is narrow."""


@dataclass(frozen=True)
class Plot:
    """A finished plot: SVG for wide and for narrow screens, and its description in words."""

    wide: str
    narrow: str
    description: str


@dataclass(frozen=True)
class Mark:
    """A vertical line with a label, at a time or a value."""

    at: float
    word: str


class _DrawnOnce(Figure):
    """`savefig` draws all of a figure for its layout, then without layout engine what it writes."""

    def draw(self, renderer: RendererBase) -> None:
        engine = self.get_layout_engine()
        if engine is None or isinstance(engine, PlaceHolderLayoutEngine):
            super().draw(renderer)
        else:
            engine.execute(self)


def draw_plot(name: str, description: str, heights_in: tuple[float, float], draw: Draw) -> Plot:
    """Draw at both widths; `name` makes the ids in the SVG unique within a page."""
    wide, narrow = (
        _render(f"{name}-{width_in:g}", (width_in, height_in), narrow, draw)
        for width_in, height_in, narrow in (
            (WIDE_IN, heights_in[0], False),
            (NARROW_IN, heights_in[1], True),
        )
    )
    return Plot(wide, narrow, description)


def _render(salt: str, size_in: tuple[float, float], narrow: bool, draw: Draw) -> str:
    style: dict[Any, Any] = {**_STYLE, "svg.hashsalt": salt}
    with matplotlib.rc_context(style):
        figure = _DrawnOnce(figsize=size_in, layout="constrained")
        figure.patch.set_alpha(0.0)
        draw(figure, narrow)
        for axes in figure.axes:
            axes.patch.set_alpha(0.0)
            axes.tick_params(length=0)
            axes.set_axisbelow(True)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    return _renumbered(_themed(buffer.getvalue()), salt)


def _renumbered(svg: str, name: str) -> str:
    """Number ids in order: matplotlib hashes coordinates, whose last bit differs between runs."""
    for number, old in enumerate(dict.fromkeys(re.findall(r' id="([^"]+)"', svg))):
        for before, after in ((' id="', '"'), ("url(#", ")"), ('href="#', '"')):
            svg = svg.replace(f"{before}{old}{after}", f"{before}{name}-{number}{after}")
    return svg


def _themed(svg: str) -> str:
    """Keep only the drawing: no prolog, no namespaces, no fixed colours or fonts."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"| version="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font: (?:(bold) )?([\d.]+)px [^;\"]*", _font, svg)
    for stand_in, variable in CSS.items():
        svg = svg.replace(stand_in, variable)
    return re.sub(r"\n\s*", "\n", svg)


def _font(match: re.Match[str]) -> str:
    weight = "; font-weight: 600" if match.group(1) else ""
    return f"font-size: {match.group(2)}px; font-family: inherit{weight}"


def thinned(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return at most about `MOST_POINTS` points that still show every extreme and every gap."""
    if x.size <= MOST_POINTS:
        return x, y
    keep: list[int] = []
    for part in np.array_split(np.arange(x.size), MOST_POINTS // 2):
        gaps = np.isnan(y[part])
        kept = {int(np.argmin(np.where(gaps, np.inf, y[part])))}
        kept.add(int(np.argmax(np.where(gaps, -np.inf, y[part]))))
        kept.update(np.flatnonzero(gaps & ~np.append(False, gaps[:-1])).tolist())
        keep += part[sorted(kept)].tolist()
    return x[keep], y[keep]


def unwrapped_gaps(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return degrees with a gap where the pole passes the bottom, so that no line crosses the
    plot."""
    degrees = np.degrees(angle)
    jumps = np.abs(np.diff(degrees, prepend=degrees[:1])) > 180.0
    return np.where(jumps, np.nan, degrees)


def line(
    axes: Axes, x: ArrayLike, y: ArrayLike, colour: str, width: float = 1.2, **more: Any
) -> None:
    """Draw a line, thinned if it has more points than a screen shows."""
    xs, ys = thinned(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    axes.plot(xs, ys, color=colour, linewidth=width, solid_joinstyle="round", **more)


def side_by_side(figure: Figure, narrow: bool, widths: tuple[float, float]) -> tuple[Axes, Axes]:
    """Return two axes side by side, or one above the other on a narrow screen."""
    if narrow:
        upper, lower = figure.subplots(2, 1, squeeze=False)[:, 0]
        return upper, lower
    left, right = figure.subplots(1, 2, squeeze=False, width_ratios=widths)[0]
    return left, right


def write_word(axes: Axes, word: str, x: float, height: float) -> None:
    """Write a word beside the data's `x`, at this share of the axes' height."""
    axes.annotate(f" {word}", (x, height), xycoords=("data", "axes fraction"), fontsize=10)


def timing_plot(
    name: str,
    what: str,
    time_s: ArrayLike,
    values_us: ArrayLike,
    marks: Sequence[Mark] = (),
    colour: str = FIRST,
) -> Plot:
    """Plot a quantity in us: over time on the left (above, when narrow), as a histogram on the
    right."""
    times, values = np.asarray(time_s, dtype=np.float64), np.asarray(values_us, dtype=np.float64)

    def draw(figure: Figure, narrow: bool) -> None:
        over_time, histogram = side_by_side(figure, narrow, (3, 2))
        line(over_time, times, values, colour, 0.8)
        over_time.set_xlabel("time (s)")
        over_time.set_ylabel(f"{what} (µs)")
        over_time.margins(x=0.01)
        _histogram(histogram, values, what, marks, colour)

    spread = f"{values.min():.0f} to {values.max():.0f} µs, median {np.median(values):.1f}"
    return draw_plot(name, f"{what}: {spread}", (2.7, 4.6), draw)


def _histogram(
    axes: Axes, values: NDArray[np.float64], what: str, marks: Sequence[Mark], colour: str
) -> None:
    axes.hist(values, bins=min(60, max(10, values.size // 20)), color=colour, log=True)
    for mark in marks:
        axes.axvline(mark.at, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        write_word(axes, mark.word, mark.at, 0.93)
    axes.set_xlabel(f"{what} (µs)")
    axes.set_ylabel("ticks")
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
