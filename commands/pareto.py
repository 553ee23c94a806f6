"""`sparsectl pareto`: students' return against their weights and against their bytes, as a picture.

A student is on the front where none with as few weights (or bytes) has a higher return.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsectl.command_line.config import ParetoConfig
from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path, check_writable, write_json
from sparsectl.common.progress import Progress
from sparsectl.common.ranges import check_counts
from sparsectl.export.table_bytes import table_bytes
from sparsectl.policy.load import LoadOptions, load_acting
from sparsectl.policy.student_file import read_student_file
from sparsectl.training.config import EvaluateConfig
from sparsectl.training.environments.environments import chosen_environment
from sparsectl.training.rollouts.evaluate import check_policy, evaluate
from sparsectl.training.rollouts.seeds import Series

JSON = dict[str, Any]

SIZES = {"kept_weights": "kept weights", "table_bytes": "bytes of tables after export"}


def pareto(config: ParetoConfig) -> JSON:
    """Measure every student, write `pareto.json` and `pareto.png`.

    Raises:
        UserError: there is no student, or one does not load or fit.
    """
    paths = [path for source in config.students for path in students_in(source)]
    if not paths:
        raise UserError("no student is given; name a student.safetensors or a distill's folder")
    check_counts(config, 1, "episodes")
    if config.normalizer is not None and config.teacher is None:
        raise UserError(f"normalizer {config.normalizer} needs its teacher; give --teacher too")
    check_writable(config.out)
    env = common_environment(config, paths)
    config = replace(config, env=env, env_kwargs=(), wrapper=())
    for path in paths:
        check_policy(load_acting(path, of_task(config)), env, path)
    if config.teacher is not None:
        check_policy(
            load_acting(config.teacher, LoadOptions(normalizer=config.normalizer)),
            env,
            config.teacher,
        )
    points = [point_of(config, path) for path in Progress(paths, desc="pareto", unit="student")]
    points.sort(key=lambda point: (-point["kept_weights"], point["return_mean"]))
    for size in SIZES:
        for index in front(points, size):
            points[index].setdefault("front_of", []).append(size)
    result: JSON = {"points": points}
    if config.teacher is not None:
        result["teacher"] = measured(config, config.teacher, config.normalizer)
    with atomic_path(config.out / "pareto.png") as temporary:
        draw(result, temporary)
        write_json(config.out / "pareto.json", result)  # both or none
    return result | {"picture": str(config.out / "pareto.png")}


def common_environment(config: ParetoConfig, paths: list[Path]) -> str:
    """Return the environment in which all students are measured.

    Raises:
        UserError: none is known, or they were made in several.
    """
    found: dict[str, Path] = {}
    for path in paths:
        known = load_acting(path, of_task(config)).environment
        env = chosen_environment(config.env, config.env_kwargs, config.wrapper, known, path)
        if env is None:
            raise UserError(f"{path} names no environment; give one with --env")
        found.setdefault(env, path)
    if len(found) > 1:
        (one, a), (other, b), *_ = found.items()
        raise UserError(f"{a} was made in {one}, {b} in {other}; name one for both with --env")
    return next(iter(found))


def students_in(source: Path) -> list[Path]:
    """Return a student's file or, for a run's folder, its students of each size, or its only one.

    Raises:
        UserError: there is none.
    """
    if source.is_file():
        return [source]
    found = sorted((source / "students").glob("*.safetensors"))
    if not found and (source / "student.safetensors").is_file():
        found = [source / "student.safetensors"]
    if not found:
        raise UserError(f"no student in {source}; give a student.safetensors or a distill's folder")
    return found


def point_of(config: ParetoConfig, path: Path) -> JSON:
    """Measure a student's sizes and return."""
    student = read_student_file(path)
    folder = path.parent.parent if path.parent.name == "students" else path.parent
    return {
        "student": f"{folder.name}/{path.stem}",
        "kept_weights": student.kept_weights,
        "table_bytes": table_bytes(path),
        **measured(config, path, task=config.task),
    }


def of_task(config: ParetoConfig) -> LoadOptions:
    """Return which task of a student of several is asked for."""
    return LoadOptions(task=config.task, environment=config.env)


def measured(
    config: ParetoConfig, policy: Path, normalizer: Path | None = None, task: int | None = None
) -> JSON:
    """Measure the return with its interval and CVaR, in other episodes than those that `evaluate`
    reports."""
    asked = EvaluateConfig(
        policy, config.env, config.episodes, seed=0, normalizer=normalizer, task=task
    )
    result = evaluate(asked, progress=None, series=Series.PARETO)
    return {key: value for key, value in result.items() if key.startswith(("return_", "cvar_"))}


def front(points: list[JSON], size: str) -> list[int]:
    """Return the indices of the points that no other dominates in size and mean return, from small
    to large."""
    order = sorted(range(len(points)), key=lambda i: (points[i][size], -points[i]["return_mean"]))
    best, chosen = -np.inf, []
    for index in order:
        if points[index]["return_mean"] > best:
            best = points[index]["return_mean"]
            chosen.append(index)
    return chosen


def draw(result: JSON, path: Path) -> None:
    """Plot return against each size, with the front as a line through its points and the teacher as
    a horizontal line."""
    from matplotlib.figure import Figure

    points = result["points"]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, (size, label) in zip(figure.subplots(1, 2, sharey=True), SIZES.items(), strict=True):
        sizes = np.array([point[size] for point in points])
        means = np.array([point["return_mean"] for point in points])
        below = means - [point["return_low"] for point in points]
        above = [point["return_high"] for point in points] - means
        axes.errorbar(
            sizes, means, (below, above), fmt="o", color="0.6", markersize=4, lw=1, label="student"
        )
        on_front = front(points, size)
        axes.plot(sizes[on_front], means[on_front], "o-", color="tab:blue", label="best", zorder=3)
        worst = [points[index]["cvar_1"] for index in on_front]
        if all(value is not None for value in worst):
            name = "the best's worst hundredth"
            axes.plot(sizes[on_front], worst, "v:", color="tab:red", label=name)
        if "teacher" in result:
            axes.axhline(result["teacher"]["return_mean"], color="0.3", ls="--", label="teacher")
        axes.set(xscale="log", xlabel=label)
        _plain_ticks(axes)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("return, mean and 95 % interval")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.savefig(path, format="png", dpi=130)


def _plain_ticks(axes: Any) -> None:
    """Label 1, 2 and 5 times each power of ten as whole numbers, and more of them if that leaves a
    single tick."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    low, high = axes.get_xlim()
    wide = high / low > 5
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if wide else tuple(range(1, 10))))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
