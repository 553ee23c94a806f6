"""Results of a sweep's finished runs: a row per run, and summaries of the rows of each method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.experiments.folder import SWEEP, Folder, read_sweep_json, results_of
from sparsectl.experiments.statistics import (
    Array,
    Scores,
    interquartile_mean,
    interval,
    mean,
    probability_of_improvement,
)
from sparsectl.training.rollouts.intervals import FAILED_SHARE, share_of

JSON = dict[str, Any]
Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Row:
    """The values of a run; None: it has none of that kind.

    Attributes:
        score: 1 + (return - teacher's) / |teacher's|, which is the share of the teacher's return if
            that is positive; without a teacher the return itself.
        return_min: return of its worst episode.
        failures_per_1000: episodes that return less than three quarters of the teacher's mean.
        distill_seconds: duration of its distillation.
        folder: folder of its student's task, inside the sweep's folder.
    """

    environment: str
    method: str
    seed: int
    score: float | None
    return_mean: float | None
    return_low: float | None
    return_high: float | None
    return_min: float | None
    success_rate: float | None
    episodes: int | None
    teacher_return_mean: float | None
    failures_per_1000: float | None
    kept_weights: int | None
    kept_parameters: int | None
    teacher_weights: int | None
    teacher_parameters: int | None
    table_bytes: int | None
    flash_bytes: int | None
    ram_bytes: int | None
    cycles_worst: int | None
    microseconds: float | None
    distill_seconds: float | None
    folder: str | None


COLUMNS: Final = tuple(field.name for field in fields(Row))


@dataclass(frozen=True)
class Results:
    """A sweep's rows and other results of its runs.

    Attributes:
        runs: the runs in sweep.json, finished or not.
        stages: the steps of each distillation, by (environment, method, seed).
        curves: the file with each teacher's learning curve, by (environment, seed).
        revisions: the revisions of sparsectl that ran the tasks of these rows; several where it was
            changed between two sittings.
    """

    path: Path
    sweep: JSON
    rows: tuple[Row, ...]
    unfinished: tuple[JSON, ...]
    stages: dict[tuple[str, str, int], list[JSON]]
    curves: dict[tuple[str, int], Path]
    revisions: tuple[str, ...]

    @property
    def environments(self) -> list[str]:
        return list(dict.fromkeys(row.environment for row in self.rows))

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(row.method for row in self.rows))

    def of(self, method: str, environment: str | None = None) -> list[Row]:
        """Return the rows of a method, in one environment or in all."""
        return [
            row
            for row in self.rows
            if row.method == method and environment in (None, row.environment)
        ]


def read_results(path: Path) -> Results:
    """Read the results in a sweep's folder, as far as they exist.

    Raises:
        UserError: the folder is not a sweep's, is damaged, or nothing in it is finished.
    """
    folder, rows, unfinished = Folder(path), [], []
    stages: dict[tuple[str, str, int], list[JSON]] = {}
    curves: dict[tuple[str, int], Path] = {}
    revisions: dict[str, None] = {}
    sweep = read_sweep_json(path / SWEEP)
    has_students = any("distill" in run["tasks"] for run in sweep["runs"])
    for run, done in results_of(path):
        if missing := [name for name in run["tasks"] if name not in done]:
            failed = next(
                filter(None, (folder.failed(run["tasks"][name]) for name in missing)), None
            )
            unfinished.append({"run": run["name"], "waits_for": missing[0], "failed": failed})
        else:
            rows.append(_row(run, done, beside_students=has_students))
            ran = (each["provenance"].get("revision") for each in done.values())
            revisions |= dict.fromkeys(filter(None, ran))
        key = (run["environment"], run["method"], run["seed"])
        if "distill" in done:
            stages[key] = done["distill"]["result"].get("steps", [])
        if "teach" in done:
            curve = folder.tasks / run["tasks"]["teach"] / "learning_curve.csv"
            curves[run["environment"], run["seed"]] = curve
    if not rows:
        why = "; ".join(_why(each) for each in unfinished[:1])
        raise UserError(f"no run of {path} is finished{f' ({why})' if why else ''}; run its sweep")
    return Results(path, sweep, tuple(rows), tuple(unfinished), stages, curves, tuple(revisions))


def _why(unfinished: JSON) -> str:
    failed = unfinished["failed"]
    return f"{unfinished['run']}: {failed['error'] if failed else 'not run yet'}"


def _row(run: JSON, done: dict[str, JSON], *, beside_students: bool) -> Row:
    """Return a run's row; if other runs have students, one without is the teacher itself."""
    found = {name: each["result"] for name, each in done.items()}
    distilled, benched = found.get("distill", {}), found.get("bench", {})
    exported, evidence = found.get("export", {}), distilled.get("evidence") or {}
    measured = found.get("evaluate") or evidence or (found.get("teach", {}))
    teacher = found["teacher"]["return_mean"] if "teacher" in found else None
    if "evaluate" not in found:
        teacher = evidence.get("teacher_return_mean")
    value = measured.get("return_mean")
    if beside_students and "distill" not in run["tasks"]:
        teacher = value
    return Row(
        environment=run["environment"],
        method=run["method"],
        seed=run["seed"],
        score=_score(value, teacher),
        return_mean=value,
        return_low=measured.get("return_low"),
        return_high=measured.get("return_high"),
        return_min=measured.get("return_min"),
        success_rate=measured.get("success_rate"),
        episodes=measured.get("episodes"),
        teacher_return_mean=teacher,
        failures_per_1000=_failures(measured.get("returns"), teacher),
        kept_weights=distilled.get("kept_weights"),
        kept_parameters=distilled.get("kept_parameters"),
        teacher_weights=distilled.get("teacher_weights"),
        teacher_parameters=distilled.get("teacher_parameters"),
        table_bytes=exported.get("table_bytes", distilled.get("table_bytes")),
        flash_bytes=benched.get("flash_bytes"),
        ram_bytes=benched.get("ram_bytes"),
        cycles_worst=benched.get("cycles_worst"),
        microseconds=benched.get("microseconds"),
        distill_seconds=distilled.get("seconds"),
        folder=f"tasks/{run['tasks']['distill']}" if "distill" in run["tasks"] else None,
    )


def _failures(returns: Sequence[float] | None, teacher: float | None) -> float | None:
    if returns is None or teacher is None:
        return None
    return 1000 * float((np.array(returns) < share_of(FAILED_SHARE, teacher)).mean())


def _score(value: float | None, teacher: float | None) -> float | None:
    if value is None or teacher is None:
        return value
    return 1 + (value - teacher) / (abs(teacher) or 1.0)


@dataclass(frozen=True)
class Summary:
    """The summary of a method's runs, in one environment or in all.

    Attributes:
        runs: number of finished runs.
        mean, iqm: mean and interquartile mean of the scores, each with its 95 % interval.
        lowest: score of the worst run.
        kept_weights, …: means over the runs; None if there are none.
    """

    environment: str
    method: str
    runs: int
    mean: float
    mean_interval: Interval
    iqm: float
    iqm_interval: Interval
    lowest: float
    kept_weights: float | None
    kept_parameters: float | None
    kept_weights_share: float | None
    kept_parameters_share: float | None
    failures_per_1000: float | None
    table_bytes: float | None
    cycles_worst: float | None
    distill_seconds: float | None


ALL: Final = "all environments"


def summaries(results: Results) -> list[Summary]:
    """Return a summary per method and environment, and of all environments if there are several
    and each score is a share of a teacher's: returns of different tasks have no common unit."""
    found = [
        summary
        for environment in results.environments
        for method in results.methods
        if (summary := _summary(environment, method, results.of(method, environment)))
    ]
    has_teachers = all(row.teacher_return_mean is not None for row in results.rows)
    if len(results.environments) > 1 and has_teachers:
        found += [
            summary
            for method in results.methods
            if (summary := _summary(ALL, method, results.of(method)))
        ]
    return found


def scores_of(rows: Iterable[Row]) -> Scores:
    """Return scores by environment, sorted by name; runs without a score are left out."""
    by_environment: dict[str, list[float]] = {}
    for row in rows:
        if row.score is not None:
            by_environment.setdefault(row.environment, []).append(row.score)
    return [np.array(by_environment[name]) for name in sorted(by_environment)]


def _summary(environment: str, method: str, rows: Sequence[Row]) -> Summary | None:
    scores = scores_of(rows)
    if not scores:
        return None
    return Summary(
        environment,
        method,
        sum(len(each) for each in scores),
        float(mean(*scores)),
        interval(mean, scores),
        float(interquartile_mean(*scores)),
        interval(interquartile_mean, scores),
        float(min(each.min() for each in scores)),
        _average(rows, "kept_weights"),
        _average(rows, "kept_parameters"),
        _share(rows, "kept_weights", "teacher_weights"),
        _share(rows, "kept_parameters", "teacher_parameters"),
        _average(rows, "failures_per_1000"),
        _average(rows, "table_bytes"),
        _average(rows, "cycles_worst"),
        _average(rows, "distill_seconds"),
    )


def _average(rows: Sequence[Row], name: str) -> float | None:
    values = [getattr(row, name) for row in rows if getattr(row, name) is not None]
    return float(np.mean(values)) if values else None


def _share(rows: Sequence[Row], name: str, of: str) -> float | None:
    pairs = [(getattr(row, name), getattr(row, of)) for row in rows]
    shares = [kept / whole for kept, whole in pairs if kept is not None and whole]
    return float(np.mean(shares)) if shares else None


@dataclass(frozen=True)
class Comparison:
    """The probability that a run of `method` has a higher score than one of `other`."""

    method: str
    other: str
    probability: float
    interval: Interval


def comparisons(results: Results) -> list[Comparison]:
    """Compare each pair of methods, in the environments in which both have runs."""
    found = []
    for i, method in enumerate(results.methods):
        for other in results.methods[i + 1 :]:
            one, two = _shared(results, method, other)
            if one:
                samples = (*one, *two)
                found.append(
                    Comparison(
                        method,
                        other,
                        float(probability_of_improvement(*samples)),
                        interval(probability_of_improvement, samples),
                    )
                )
    return found


def _shared(results: Results, method: str, other: str) -> tuple[list[Array], list[Array]]:
    pairs = [
        (_in(results, method, environment), _in(results, other, environment))
        for environment in results.environments
    ]
    both = [(one, two) for one, two in pairs if len(one) and len(two)]
    return [one for one, _ in both], [two for _, two in both]


def _in(results: Results, method: str, environment: str) -> Array:
    scores = scores_of(results.of(method, environment))
    return scores[0] if scores else np.empty(0)
