"""Figures of a sweep, in the style of a paper: SVG in the report, PDF files beside it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.common.pareto_front import pareto_front
from sparsectl.experiments.results import Results, Row, Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS: Final = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#000000"),
)
"""Distinguishable with colour blindness (Okabe and Ito 2008)."""
MARKS: Final = "osD^vPX*"
STYLE: Final[dict[Any, Any]] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e0",
    "axes.axisbelow": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "sparsectl",
    "pdf.fonttype": 42,
    "font.family": "sans-serif",
    "text.parse_math": False,  # a name may have a dollar sign
}
ROW_INCHES: Final = 0.26
PANEL_INCHES: Final = 3.6
PANELS_A_ROW: Final = 3
LEGEND_MARK_INCHES: Final = 0.6
"""Width of a legend's mark and of the space around it."""
CHARACTER_INCHES: Final = 0.075
"""Width of a character of its text, with some to spare."""
PIXELS_AN_INCH: Final = 112
SIZES: Final = {
    "kept_weights": "kept weights",
    "table_bytes": "bytes of tables",
    "cycles_worst": "cycles at worst",
}


def figures(results: Results, found: Sequence[Summary]) -> Iterator[tuple[str, str, Figure]]:
    """Yield name, caption and figure of each figure for which there are results."""
    yield "intervals", _INTERVALS, _intervals(found, _unit(results))
    for size, label in SIZES.items():
        rows = [row for row in results.rows if getattr(row, size) is not None]
        if len({getattr(row, size) for row in rows}) > 1:
            caption = _PARETO.format(size=label)
            yield f"pareto_{size}", caption, _pareto(results, size, label)
    if results.curves:
        yield "teachers", _TEACHERS, _teachers(results)
    if any(len(steps) > 1 for steps in _compared_stages(results).values()):
        yield "stages", _STAGES, _stages(results)


_INTERVALS: Final = (
    "Interquartile mean and mean of the runs with 95 % stratified bootstrap intervals, and the "
    "lowest run. A method with one run has no interval."
)
_PARETO: Final = (
    "Each point is a run: score against {size}. The steps are the best score at each size: they "
    "join the runs that no other beats in both."
)
_TEACHERS: Final = (
    "Learning curves of the teachers: mean return of the evaluations over the seeds, and the range "
    "from the lowest to the highest seed."
)
_STAGES: Final = (
    "Return of the student after each stage of its distillation, less the teacher's in the same "
    "episodes, as a share of the teacher's; a line a run."
)


@contextmanager
def _styled() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def as_svg(figure: Figure) -> str:
    """Return the figure as an <svg> element for a page; its text stays text."""
    text = io.StringIO()
    with _styled():
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    width = f'style="max-width: {figure.get_figwidth() * PIXELS_AN_INCH:.0f}px" viewBox'
    return re.sub(r'width="[^"]*" height="[^"]*" viewBox', width, svg, count=1)


def write_pdf(figure: Figure, path: Path) -> None:
    """Write the figure as PDF, with its text as text."""
    with _styled():
        figure.savefig(path, format="pdf", metadata={"CreationDate": None})


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _unit(results: Results) -> str:
    has_teacher = any(row.teacher_return_mean is not None for row in results.rows)
    return "share of the teacher's return" if has_teacher else "return"


def _panels(count: int, height: float) -> tuple[Figure, list[Any]]:
    across = min(count, PANELS_A_ROW)
    down = -(-count // across)
    with _styled():
        figure = _figure(max(PANEL_INCHES * across, 5.4), height * down)
        axes = np.atleast_1d(figure.subplots(down, across, squeeze=False)).ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


@_styled()
def _intervals(found: Sequence[Summary], unit: str) -> Figure:
    groups: dict[str, list[Summary]] = {}
    for summary in found:
        groups.setdefault(summary.environment, []).append(summary)
    most, before = max(map(len, groups.values())), list[str]()
    figure, panels = _panels(len(groups), 0.9 + ROW_INCHES * most)
    for axes, (environment, rows) in zip(panels, groups.items(), strict=True):
        for y, row in enumerate(reversed(rows)):
            _bar(axes, y + 0.13, row.iqm, row.iqm_interval, COLOURS[0], "o", "IQM")
            _bar(axes, y - 0.13, row.mean, row.mean_interval, COLOURS[1], "s", "mean")
            axes.plot(row.lowest, y, "|", color="0.35", markersize=9, label="lowest run")
        names = [row.method for row in reversed(rows)]
        axes.set_yticks(range(len(rows)), names)
        if axes.get_subplotspec().colspan.start and names == before:
            axes.tick_params(labelleft=False)
        before = names
        axes.set(title=environment, xlabel=unit, ylim=(-0.6, len(rows) - 0.4))
        axes.grid(axis="y", visible=False)
    _legend(figure, panels, 3)
    return figure


def _bar(
    axes: Any,
    y: float,
    value: float,
    ends: tuple[float, float] | None,
    colour: str,
    mark: str,
    label: str,
) -> None:
    if ends is not None:
        axes.plot(ends, (y, y), color=colour, lw=2.2, solid_capstyle="butt", alpha=0.55)
    axes.plot(value, y, mark, color=colour, markersize=5, label=label)


@_styled()
def _pareto(results: Results, size: str, label: str) -> Figure:
    environments = [
        name
        for name in results.environments
        if any(_has(row, size) for row in results.rows if row.environment == name)
    ]
    figure, panels = _panels(len(environments), 3.2)
    for axes, environment in zip(panels, environments, strict=True):
        rows = [row for row in results.rows if row.environment == environment and _has(row, size)]
        front = pareto_front([(getattr(row, size), -(row.score or 0.0)) for row in rows])
        best = sorted((getattr(rows[i], size), rows[i].score) for i in front)
        axes.step(*zip(*best, strict=True), color="0.6", lw=1, zorder=1, where="post")
        for i, method in enumerate(results.methods):
            own = [row for row in rows if row.method == method]
            axes.plot(
                [getattr(row, size) for row in own],
                [row.score for row in own],
                MARKS[i % len(MARKS)],
                color=COLOURS[i % len(COLOURS)],
                markersize=5,
                alpha=0.85,
                label=_label(method),
            )
        axes.set(title=environment, xlabel=label, xscale="log")
        _plain_ticks(axes)
    panels[0].set_ylabel(_unit(results))
    _legend(figure, panels, 3)
    return figure


def _has(row: Row, size: str) -> bool:
    return getattr(row, size) is not None and row.score is not None


@_styled()
def _teachers(results: Results) -> Figure:
    environments = list(dict.fromkeys(environment for environment, _ in results.curves))
    figure, panels = _panels(len(environments), 2.8)
    for axes, environment in zip(panels, environments, strict=True):
        curves = [_curve(path) for (name, _), path in results.curves.items() if name == environment]
        steps = sorted(set.intersection(*(set(curve) for curve in curves)))
        returns = np.array([[curve[step] for step in steps] for curve in curves])
        axes.fill_between(steps, returns.min(0), returns.max(0), color=COLOURS[0], alpha=0.18, lw=0)
        axes.plot(steps, returns.mean(0), color=COLOURS[0], marker="o", markersize=3)
        seeds = f"{len(curves)} seed{'s' if len(curves) > 1 else ''}"
        axes.set(title=f"{environment}, {seeds}", xlabel="environment steps", ylabel="return")
    return figure


def _curve(path: Path) -> dict[int, float]:
    """Return the returns of a learning curve by steps.

    Raises:
        UserError: the file is gone or damaged.
    """
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows:
            raise ValueError("it has no rows")
        return {int(row["steps"]): float(row["return_mean"]) for row in rows}
    except (OSError, UnicodeDecodeError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise UserError(
            f"cannot read the learning curve {path} ({error}); remove the folder {path.parent} and "
            "the sweep trains that teacher again"
        ) from error


def _compared_stages(results: Results) -> dict[tuple[str, str, int], list[dict[str, Any]]]:
    """Return the stages whose students were compared with their teacher, of runs that have any."""
    found = {
        key: [step for step in steps if step.get("difference") is not None]
        for key, steps in results.stages.items()
    }
    return {key: steps for key, steps in found.items() if steps}


@_styled()
def _stages(results: Results) -> Figure:
    stages = _compared_stages(results)
    environments = list(dict.fromkeys(environment for environment, *_ in stages))
    figure, panels = _panels(len(environments), 2.8)
    for axes, environment in zip(panels, environments, strict=True):
        for i, method in enumerate(results.methods):
            runs = [
                steps
                for (name, of, _), steps in stages.items()
                if (name, of) == (environment, method)
            ]
            for number, shown in enumerate(runs):
                axes.plot(
                    [step["kept_weights"] for step in shown],
                    [step["difference"] for step in shown],
                    color=COLOURS[i % len(COLOURS)],
                    marker=MARKS[i % len(MARKS)],
                    markersize=3.5,
                    lw=1,
                    alpha=0.7,
                    label=_label(method) if number == 0 else None,
                )
        axes.set(title=environment, xlabel="weights kept after the stage", xscale="log")
        axes.invert_xaxis()
        _plain_ticks(axes)
    panels[0].set_ylabel("return, less the teacher's")
    _legend(figure, panels, 3)
    return figure


def _label(method: str) -> str:
    """Return a method's name for the legend, which leaves out what begins with an underscore."""
    return f" {method}" if method.startswith("_") else method


def _legend(figure: Figure, panels: Sequence[Any], columns: int) -> None:
    """Explain what any panel shows: the first may lack a method."""
    shown: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        shown = dict(zip(labels, handles, strict=True)) | shown
    widest = LEGEND_MARK_INCHES + CHARACTER_INCHES * max(map(len, shown), default=0)
    fitting = max(1, int(figure.get_figwidth() / widest))
    figure.legend(
        shown.values(),
        shown.keys(),
        loc="outside upper center",
        ncols=min(max(len(shown), 1), columns, fitting),
        frameon=False,
    )


def _plain_ticks(axes: Any) -> None:
    """Label a logarithmic axis with whole numbers, few enough to stand side by side."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    low, high = sorted(axes.get_xlim())
    subs = (1.0,) if high / low > 150 else (1.0, 2.0, 5.0)
    narrow = MaxNLocator(4, integer=True)
    axes.xaxis.set_major_locator(LogLocator(subs=subs) if high / low > 5 else narrow)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
