"""`sparsectl report`: for a sweep's folder here, for runs and trials by `hil.report`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path, check_file
from sparsectl.experiments.charts import as_svg, figures, write_pdf
from sparsectl.experiments.folder import SWEEP
from sparsectl.experiments.results import (
    COLUMNS,
    Comparison,
    Results,
    Summary,
    comparisons,
    read_results,
    summaries,
)
from sparsectl.hil.config import ReportConfig
from sparsectl.hil.report.report import write_report

JSON = dict[str, Any]

MOST_IN_MATRIX: Final = 12
"""Up to this many methods the page shows every pair; the table of comparisons has all."""
INTERVALS: Final = ("mean_interval", "iqm_interval", "interval")


def report(config: ReportConfig) -> JSON:
    """Write a report.

    Returns:
        dict: for a sweep report (the page), runs, unfinished, table, files; otherwise the result of
        `hil.report.report.write_report`.

    Raises:
        UserError: there is nothing to report, or the page cannot be written.
    """
    if not (config.path / SWEEP).is_file():
        return write_report(config)
    if config.other is not None:
        raise UserError(f"{config.path} is a sweep and is reported alone; leave {config.other} out")
    page = config.path / "report.html" if config.out is None else config.out
    check_file(page)
    results = read_results(config.path)
    found, pairs = summaries(results), comparisons(results)
    if not found:
        raise UserError(
            f"no run of {config.path} measured a return; add [evaluate] to the sweep's file"
        )
    return _written(results, found, pairs, page)


def _written(
    results: Results, found: Sequence[Summary], pairs: Sequence[Comparison], page: Path
) -> JSON:
    folder, stem = page.parent, page.stem
    tables = {
        "runs": (COLUMNS, [asdict(row) for row in results.rows]),
        "methods": _flat(Summary, found),
        "comparisons": _flat(Comparison, pairs),
    }
    files = []
    for name, (columns, rows) in tables.items():
        if rows:
            files.append(_write_csv(folder / f"{stem}_{name}.csv", columns, rows))
    drawn = []
    for name, caption, figure in figures(results, found):
        path = folder / f"{stem}_{name}.pdf"
        with atomic_path(path) as temporary:
            write_pdf(figure, temporary)
        files.append(path)
        drawn.append({"name": name, "caption": caption, "svg": Markup(as_svg(figure))})
    with atomic_path(page) as temporary:
        html = _template().render(_shown(results, found, pairs, drawn))
        temporary.write_text(html, encoding="utf-8")
    return {
        "report": str(page),
        "runs": len(results.rows),
        "unfinished": len(results.unfinished),
        "files": [str(path) for path in files],
        "methods": [
            {
                "environment": each.environment,
                "method": each.method,
                "runs": each.runs,
                "iqm": _figure(each.iqm, each.iqm_interval),
                "mean": _figure(each.mean, each.mean_interval),
                "lowest": f"{each.lowest:.3f}",
                "kept_weights": "" if each.kept_weights is None else f"{each.kept_weights:,.0f}",
            }
            for each in found
        ],
    }


def _flat(kind: type, rows: Iterable[Any]) -> tuple[list[str], list[JSON]]:
    """Return columns and rows; an interval becomes two columns."""
    columns: list[str] = []
    for field in fields(kind):
        ends = [f"{field.name}_low", f"{field.name}_high"]
        columns += ends if field.name in INTERVALS else [field.name]
    flat = []
    for row in rows:
        values = asdict(row)
        for name in INTERVALS:
            if name in values:
                low, high = values.pop(name) or ("", "")
                values |= {f"{name}_low": low, f"{name}_high": high}
        flat.append(values)
    return columns, flat


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[JSON]) -> Path:
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["figure"] = _figure
    environment.filters["whole"] = lambda value: "" if value is None else f"{value:,.0f}"
    environment.filters["percent"] = lambda value: "" if value is None else f"{value:.2%}"
    environment.filters["clock"] = _clock
    return environment.get_template("sweep.html")


def _shown(
    results: Results, found: Sequence[Summary], pairs: Sequence[Comparison], drawn: list[JSON]
) -> JSON:
    seeds = sorted({row.seed for row in results.rows})
    groups: dict[str, list[Summary]] = {}
    for summary in found:
        groups.setdefault(summary.environment, []).append(summary)
    methods = results.methods if len(results.methods) <= MOST_IN_MATRIX else []
    return {
        "title": results.path.resolve().name,
        "results": results,
        "seeds": seeds,
        "groups": groups,
        "columns": [n for n in _OPTIONAL if any(getattr(each, n) is not None for each in found)],
        "names": _OPTIONAL,
        "matrix": _matrix(methods, pairs) if pairs else {},
        "methods": methods,
        "pairs": pairs,
        "figures": drawn,
        "has_teacher": any(row.teacher_return_mean is not None for row in results.rows),
    }


_OPTIONAL: Final = {
    "kept_weights": "kept weights",
    "kept_weights_share": "of the teacher's",
    "kept_parameters": "with biases",
    "kept_parameters_share": "of the teacher's",
    "failures_per_1000": "failures in 1,000",
    "table_bytes": "bytes of tables",
    "cycles_worst": "cycles at worst",
    "distill_seconds": "distillation",
}


def _matrix(methods: Sequence[str], pairs: Sequence[Comparison]) -> dict[tuple[str, str], str]:
    """Return by row and column the probability that the row is better."""
    cells = {}
    for pair in pairs:
        low, high = pair.interval or (None, None)
        cells[pair.method, pair.other] = _figure(pair.probability, pair.interval, ".2f")
        turned = None if low is None or high is None else (1 - high, 1 - low)
        cells[pair.other, pair.method] = _figure(1 - pair.probability, turned, ".2f")
    return cells


def _figure(value: float, ends: tuple[float, float] | None, form: str = ".3f") -> str:
    """Format a value with its interval."""
    if abs(value) >= 100:
        form = ",.1f"
    if ends is None:
        return format(value, form)
    return f"{value:{form}} [{ends[0]:{form}}, {ends[1]:{form}}]"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
