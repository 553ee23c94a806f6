"""The tables of docs/results.md, from the results of methods.py and tasks.py."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from demo_student import outside

from sparsectl.common.files import read_json
from sparsectl.training.distillation.methods import METHODS
from sparsectl.training.rollouts.intervals import failure_figures

RESULTS = Path(__file__).resolve().parent / "results"

JSON = dict[str, Any]

DEMO = "bpd, quick-236"
"""The recipe that `sparsectl demo` takes."""


SHORT = ("authors", "paper", "gradual-363", "small, quick-322", DEMO)
"""The rows of the README, as far as they are measured."""


def methods_short() -> list[str]:
    """The rows of `methods` that a newcomer should see."""
    return methods(SHORT)


def methods(only: Collection[str] = ()) -> list[str]:
    """A row a method and size, over its seeds, the smallest last; `only` those, or all."""
    results = _results()
    rows = defaultdict(list)
    for student in results["students"]:
        if not only or student["recipe"] in only:
            rows[student["recipe"]].append(student)
    teacher = results["teacher"]
    episodes = {results["recipes"][name]["episodes"] for name in rows}
    lines = [
        f"Teacher: {teacher['weights']:,} weights, {teacher['parameters']:,} with biases; return "
        f"{teacher['return_mean']:.1f}. Teacher and students meet the same "
        f"{' or '.join(f'{count:,}' for count in sorted(episodes))} episodes, none of which was "
        "used to select anything. An episode fails if it returns less than three quarters of the "
        f"teacher's mean, {teacher['failed_below']:.0f}. In brackets: 95 % intervals over students "
        "and episodes.",
        "",
        "| method | weights | with biases | bytes of tables | students | mean return, less the "
        "teacher's | mean of the worst hundredth (CVaR) | failures in 1,000 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in sorted(rows, key=lambda name: (-_kept(rows[name], "weights"), name)):
        lines.append(_method_row(name, rows[name], results))
    return [*lines, _teacher_row(teacher)]


def _results() -> JSON:
    """The students, their recipes' figures and their teacher."""
    results: JSON = read_json(RESULTS / "methods_sensorsini_cartpole.json")
    return results


def _kept(rows: list[JSON], what: str) -> float:
    return mean(row["distill"][f"kept_{what}"] for row in rows)


def _counted(rows: list[JSON], what: str) -> str:
    kept = _kept(rows, what)
    return f"{kept:,.0f} ({kept / rows[0]['distill'][f'teacher_{what}']:.2%})"


def _method_row(name: str, rows: list[JSON], results: JSON) -> str:
    figures = results["recipes"][name]
    return _cells(
        re.sub(r"-\d+$", "", name),
        _counted(rows, "weights"),
        _counted(rows, "parameters"),
        f"{mean(row['table_bytes'] for row in rows):,.0f}",
        str(len(rows)),
        _interval(figures, "difference", "{:+.1%}"),
        _interval(figures, "cvar_1", "{:.0f}"),
        _interval(figures, "failures_per_1000", "{:.1f}"),
    )


def _teacher_row(teacher: JSON) -> str:
    failures = {**teacher, "failures_per_1000_low": teacher["failures_low"]}
    failures["failures_per_1000_high"] = teacher["failures_high"]
    return _cells(
        "the teacher",
        f"{teacher['weights']:,}",
        f"{teacher['parameters']:,}",
        "",
        "",
        "",
        _interval(teacher, "cvar_1", "{:.0f}"),
        _interval(failures, "failures_per_1000", "{:.1f}"),
    )


def _interval(figures: JSON, name: str, form: str) -> str:
    if figures[name] is None:
        return "n/a"
    value, low, high = (form.format(figures[name + end]) for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def demo() -> list[str]:
    """The demo's own student, and whether the recipe's intervals hold its figures."""
    student, results = read_json(RESULTS / "demo.json"), _results()
    evidence = student["evidence"]
    wrong = outside(student, results["recipes"][DEMO])
    said = "Both lie" if not wrong else "Not all lie"
    lines = [
        f"`sparsectl demo` itself, seed {student['seed']}: {student['kept_weights']} of "
        f"{student['teacher_weights']:,} weights, {student['kept_parameters']} of "
        f"{student['teacher_parameters']:,} with biases; its mean return, less the teacher's, is "
        f"{_interval(evidence, 'difference', '{:+.1%}')} in "
        f"{evidence['episodes']} evidence episodes, of which {_failed(evidence)} failed. "
        f"{said} within the intervals of `bpd, quick`."
    ]
    if returns := student.get("returns"):
        least, count = results["teacher"]["failed_below"], len(returns)
        rows = [row for row in results["students"] if row["recipe"] == DEMO]
        figures = (failure_figures(np.array(row["returns"][:count]), least) for row in rows)
        *others, last = map(_failed, figures)
        lines.append(
            f"In the first {count:,} of the table's episodes "
            f"{_failed(failure_figures(np.array(returns), least))} failed; of the students in the "
            f"table, {', '.join(others)} and {last}."
        )
    return lines


def _failed(figures: JSON) -> str:
    value, low, high = (figures[f"failures_{end}"] for end in ("per_1000", "low", "high"))
    return f"{value:.1f} [{low:.1f}, {high:.1f}] in 1,000"


def stages() -> list[str]:
    """What each stage of the demo's recipe brought, as means over the seeds."""
    results = _results()
    students = [row for row in results["students"] if row["recipe"] == DEMO]
    runs = [row["distill"]["steps"] for row in students]
    episodes = {step["episodes"] for steps in runs for step in steps}
    lines = [
        f"Seeds: {len(runs)}. Each stage in the same {', '.join(map(str, sorted(episodes)))} "
        "episodes, and the teacher in them too. Mean over the seeds [lowest, highest seed].",
        "",
        "| after | weights kept | return, less the teacher's | worst tenth, mean return |",
        "| --- | --- | --- | --- |",
    ]
    for steps in zip(*runs, strict=True):
        lost = [step["difference"] for step in steps]
        tenth = [step["return_worst_tenth"] for step in steps]
        lines.append(
            _cells(
                _stage_name(steps[0]["name"]),
                f"{mean(step['kept_weights'] for step in steps):,.0f}",
                f"{mean(lost):+.1%} [{min(lost):+.1%}, {max(lost):+.1%}]",
                f"{mean(tenth):.0f} [{min(tenth):.0f}, {max(tenth):.0f}]",
            )
        )
    return lines


def _stage_name(name: str) -> str:
    stage, _, number = name.partition("-")
    words = {
        "bpd": "distillation (BPD) on the teacher's data",
        "finetune": f"fine-tuning with data of round {number}"
        if number
        else "fine-tuning under the mask",
    }
    return words[stage]


def encoded() -> list[str]:
    """A row a student and encoding."""
    results = read_json(RESULTS / "encoded_returns.json")
    lines = [
        "| student | encoding | calibrated on | return in 100 episodes (95 % interval) |",
        "| --- | --- | --- | --- |",
    ]
    for row in results["students"]:
        interval = f"[{row['return_low']:.1f}, {row['return_high']:.1f}]"
        lines.append(
            f"| {row['student']}, {row['kept_weights']} weights | {row['encoding']} "
            f"| {row['calibration']} | {row['return_mean']:.1f} {interval} |"
        )
    return lines


def method_list() -> list[str]:
    """What `--method` takes."""
    lines = ["| `--method` | what it is |", "| --- | --- |"]
    return [*lines, *(f"| {name} | {method.summary} |" for name, method in METHODS.items())]


def tasks() -> list[str]:
    """A row a task of other people and kind of student, beside the task's teacher."""
    results = read_json(RESULTS / "tasks.json")["tasks"]
    lines = [
        "| task | teacher's return | student | weights | with biases | bytes of tables | students "
        "| mean return, less the teacher's |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, entry in results.items():
        teacher = entry["teacher"]
        own = {f"return{end}": teacher[f"return{end or '_mean'}"] for end in ("", "_low", "_high")}
        for kind in ("sparse", "dense"):
            rows, figures = entry[kind]["students"], entry[kind]["figures"]
            if figures is None:
                continue
            sizes = []
            for counted in ("weights", "parameters"):
                kept, of = mean(row[f"kept_{counted}"] for row in rows), teacher[counted]
                sizes.append(f"{kept:,.0f} of {of:,} ({kept / of:.1%})")
            lines.append(
                _cells(
                    name,
                    _interval(own, "return", "{:,.0f}"),
                    kind,
                    *sizes,
                    f"{mean(row['table_bytes'] for row in rows):,.0f}",
                    str(len(rows)),
                    _interval(figures, "difference", "{:+.1%}"),
                )
            )
    return lines


def tasks_pairs() -> list[str]:
    """A row a task: what the sparse student returns less the dense one of as many bytes."""
    results = read_json(RESULTS / "tasks.json")["tasks"]
    lines = ["| task | pairs | sparse less dense, of the teacher's mean |", "| --- | --- | --- |"]
    for name, entry in results.items():
        pair = entry["sparse_less_dense"]
        if pair is not None:
            interval = f"[{pair['low']:+.1%}, {pair['high']:+.1%}]"
            lines.append(_cells(name, str(pair["seeds"]), f"{pair['difference']:+.1%} {interval}"))
    return lines


def choices() -> list[str]:
    """A row a task whose actions are choices: teacher, student, and what they take on chips."""
    lines = [
        "| task | teacher | student | teacher's return | student less teacher "
        "| Cortex-M4F, student (teacher) | ATmega328P |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in read_json(RESULTS / "choices.json").values():
        evidence, boards = row["evidence"], row["boards"]
        small, whole = (boards[who]["cortex-m4f"] for who in ("student", "teacher"))
        avr = boards["student"]["atmega328p"]
        span = f"{evidence['difference_low']:+.1%}, {evidence['difference_high']:+.1%}"
        lines.append(
            f"| {row['env']} | {row['teacher_weights']:,} weights | {row['kept_weights']} "
            f"| {evidence['teacher_return_mean']:.1f} | {evidence['difference']:+.1%} [{span}] "
            f"| {small['cycles_worst']:,} ({whole['cycles_worst']:,}) cycles, "
            f"{small['flash_bytes']:,} ({whole['flash_bytes']:,}) B "
            f"| {avr['cycles_worst']:,} cycles, {avr['flash_bytes']:,} B |"
        )
    return lines
