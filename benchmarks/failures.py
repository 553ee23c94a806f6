"""How often the teacher and students of it fail in 10,000 episodes each, and after a search for a
higher return or for fewer failures: results/failures.json.

    python benchmarks/failures.py --students runs/distill/student.safetensors --dataset D.npz

A student's search is the stage of `sparsectl distill --search.generations`, with the same settings;
with `--search.generations 0` there is none. What is searched or measured is kept in `runs/failures`
and not done again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from measured import here, mark, returns_of

from sparsectl.common.files import read_json, write_json
from sparsectl.common.progress import Progress
from sparsectl.policy.load import load_acting
from sparsectl.policy.student_file import StudentFile, read_student_file, write_student
from sparsectl.training.data.files import read_dataset
from sparsectl.training.finetuning.return_search import ReturnSearch
from sparsectl.training.rollouts.intervals import (
    FAILED_SHARE,
    cvar_figures,
    failure_figures,
    mean_interval,
    paired_difference,
    share_of,
)
from sparsectl.training.settings import SearchSettings

ROOT = Path(__file__).resolve().parent.parent
RIG = "sensorsini_cartpole"

JSON = dict[str, Any]


@dataclass(frozen=True)
class FailuresConfig:
    """What to search and to measure."""

    students: tuple[Path, ...]
    """Files of the shipped teacher's students; those of a run that was measured before stay."""
    dataset: Path
    """The transitions that they were distilled from."""
    search: SearchSettings = field(default_factory=lambda: SearchSettings(generations=60))
    """Settings of the search; none with 0 generations."""
    episodes: int = 10_000
    """That measure each policy; none of them is a search's."""
    folder: Path = ROOT / "runs" / "failures"
    """For what is searched and measured."""
    out: Path = ROOT / "benchmarks" / "results" / "failures.json"
    """The results' file."""


def main(config: FailuresConfig) -> None:
    """Search, measure, and write the results' file."""
    torch.set_num_threads(1)
    config.folder.mkdir(parents=True, exist_ok=True)
    teacher = ROOT / "training" / "teachers" / f"{RIG}.onnx"
    beside = _returns(config, teacher)
    least = share_of(FAILED_SHARE, float(beside.mean()))
    rows = [_row(teacher, beside, beside, least)]
    for path in _students(config):
        returns = _returns(config, path)
        rows.append(_row(path, returns, beside, least) | _about(path))
    before = read_json(config.out)["policies"] if config.out.is_file() else []
    anew = {row["mark"] for row in rows}
    rows += [row for row in before if row["mark"] not in anew]
    write_json(
        config.out,
        {
            "rig": RIG,
            "episodes": config.episodes,
            "failed_below": least,
            "policies": rows,
            "provenance": here(),
        },
    )


def _students(config: FailuresConfig) -> Iterator[Path]:
    """Each as it was given, and after its search."""
    for path in config.students:
        yield path
        search = config.search
        if not search.generations:
            continue
        named = "-".join(map(str, (mark(path), *asdict(search).values())))
        found = config.folder / f"{named}.safetensors"
        if not found.is_file():
            write_student(found, _searched(config, read_student_file(path)))
        yield found


def _searched(config: FailuresConfig, student: StudentFile) -> StudentFile:
    observations = read_dataset(config.dataset).observations
    seed = int(student.metadata["seed"])
    search = ReturnSearch(
        f"sparsectl/{RIG}-v0",
        observations,
        student.layers,
        student.network(),
        config.search,
        seed,
        0,
        0,
    )
    with Progress(total=search.steps, desc="search", unit="gen") as shown:
        while search.steps_done < search.steps:
            search.update()
            shown.update(1)
    history = {"search": asdict(config.search) | {"provenance": here()}}
    return StudentFile(search.layers(), student.metadata | history)


def _returns(config: FailuresConfig, path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    return returns_of(path, f"sparsectl/{RIG}-v0", config.episodes, config.folder)


def _row(
    path: Path,
    returns: np.ndarray[Any, np.dtype[np.float64]],
    beside: np.ndarray[Any, np.dtype[np.float64]],
    least: float,
) -> JSON:
    low, high = mean_interval(returns)
    return {
        "mark": mark(path),
        "weights": load_acting(path).weights if path.suffix == ".onnx" else None,
        "return_mean": float(returns.mean()),
        "return_low": low,
        "return_high": high,
        **paired_difference(returns, beside),
        **cvar_figures(returns),
        **failure_figures(returns, least),
        "failed": int((returns < least).sum()),
    }


def _about(path: Path) -> JSON:
    """What the student's file says of itself."""
    said = read_student_file(path)
    origin = said.metadata["provenance"]
    return {
        "weights": said.kept_weights,
        "seed": said.metadata["seed"],
        "preset": said.metadata["config"]["preset"],
        "transitions": said.metadata["steps"][0]["transitions"],
        "distilled_at": {key: origin[key] for key in ("sparsectl", "revision")},
        "search": said.metadata.get("search"),
    }


if __name__ == "__main__":
    main(tyro.cli(FailuresConfig))
