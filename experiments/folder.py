"""A sweep's folder: its plan, and the results of its tasks.

`sweep.json` lists the runs and their tasks. `tasks/NAME/` contains the files of a task, its
`log.txt`, and, written last, `done.json` or `failed.json`. Every path in them is relative,
so the folder may be copied elsewhere.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json, write_json
from sparsectl.common.provenance import provenance
from sparsectl.experiments.plan import TASKS, Plan, Task
from sparsectl.experiments.task_result import is_readable

JSON = dict[str, Any]

SWEEP: Final = "sweep.json"
DONE, FAILED, LOG = "done.json", "failed.json", "log.txt"
FORMAT: Final = "sparsectl.sweep"
VERSION: Final = 1


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task.

    Attributes:
        exit_code: 0: it is done.
        result: the result of its command.
        error: the last line of its log.
        seconds: time that it took since it was last started.
    """

    exit_code: int
    result: JSON
    error: str
    seconds: float


class Folder:
    """The folder of one sweep.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tasks = path / TASKS

    def check(self, plan: Plan, *, update: bool) -> None:
        """Check that the folder is of this plan, or may become it.

        Raises:
            UserError: it has results of another sweep, and no update was asked for.
        """
        path = self.path / SWEEP
        if path.exists():
            before = read_sweep_json(path)
            if before["digest"] != plan.digest and not update:
                raise UserError(self._changed(before, plan))
        elif self.path.exists() and any(self.path.iterdir()):
            raise UserError(f"{self.path} holds files that are of no sweep; give another --out")

    def begin(self, plan: Plan, text: str) -> None:
        """Write sweep.json."""
        write_json(self.path / SWEEP, _described(plan, text))

    def _changed(self, before: JSON, plan: Plan) -> str:
        had = {run["name"]: sorted(run["tasks"].values()) for run in before["runs"]}
        now = {each.run.name: sorted(each.tasks.values()) for each in plan.runs}
        same = sum(had.get(name) == tasks for name, tasks in now.items())
        return (
            f"{self.path} holds the results of another sweep: {same} of the file's {len(now)} runs "
            "are the same in both; give another --out, or --update to keep what is the same and go "
            "on with this file"
        )

    def done(self, name: str, *, needs_files: bool = True) -> JSON | None:
        """Return the result of a finished task; None: it is not finished.

        needs_files: False, where the result alone is read: datasets may be removed for their size.

        Raises:
            UserError: a file that it made was changed, or is gone and needed; or the record of it
                is damaged.
        """
        path = self.tasks / name / DONE
        if not path.exists():
            return None
        found = _record(path, _OF_DONE)
        is_whole = all(_has(about, _OF_FILE) for about in found["files"].values())
        if not (is_whole and is_readable(found["result"])):
            raise _damaged(path)
        for relative, about in found["files"].items():
            file = self.tasks / name / relative
            if not _is_as_made(file, about) and (needs_files or file.exists()):
                state = "was changed" if file.exists() else "is gone"
                raise UserError(
                    f"{file} {state} since the sweep made it; remove the folder {file.parent} and "
                    "the task runs again"
                )
        return found

    def failed(self, name: str) -> JSON | None:
        """Return how a task failed; None: it has not failed.

        Raises:
            UserError: the record of it is damaged.
        """
        path = self.tasks / name / FAILED
        return _record(path, _OF_FAILED) if path.exists() else None

    def record(self, task: Task, outcome: Outcome) -> None:
        """Write how a task ended; a task is finished from the moment `done.json` exists.

        Raises:
            UserError: there is no room for it.
        """
        folder = self.tasks / task.name
        said: JSON = {
            "command": ["sparsectl", task.command, *task.words(Path(TASKS))],
            "label": task.label,
            "seconds": round(outcome.seconds, 3),
            "provenance": provenance(),
        }
        if outcome.exit_code:
            said |= {"exit_code": outcome.exit_code, "error": outcome.error, "log": LOG}
            write_json(folder / FAILED, said)
            return
        for name in task.stage.scratch:
            _remove(folder / name)
        made = folder / task.stage.file if task.stage.file else None
        files = [] if made is None else _files_of(made)
        about = {str(file.relative_to(folder)): _about(file) for file in files}
        result = _relative(outcome.result, str(folder))
        write_json(folder / DONE, said | {"result": result, "files": about})
        _remove(folder / FAILED)


def read_sweep_json(path: Path) -> JSON:
    """Read the sweep.json of a folder.

    Raises:
        UserError: the file is damaged, or was written by another program or version.
    """
    said = read_json(path)
    if not isinstance(said, dict) or (said.get("format"), said.get("version")) != (FORMAT, VERSION):
        raise UserError(f"{path} is not a sweep of this version; run the sweep into another folder")
    if not _is_whole(said):
        raise UserError(
            f"{path} is damaged: it lacks what a sweep writes there; put back the whole file, or "
            "give another --out"
        )
    return said


Kinds = Mapping[str, type | tuple[type, ...]]
_OF_SWEEP: Final[Kinds] = {"digest": str, "runs": list, "file": str, "provenance": dict}
_OF_RUN: Final[Kinds] = {
    "name": str,
    "environment": str,
    "method": str,
    "seed": int,
    "tasks": dict,
    "teacher": (str, type(None)),
}
_OF_DONE: Final[Kinds] = {
    "result": dict,
    "files": dict,
    "seconds": (int, float),
    "provenance": dict,
}
_OF_FAILED: Final[Kinds] = {"error": str, "exit_code": int}
_OF_FILE: Final[Kinds] = {"bytes": int, "sha256": str, "modified_ns": int}
"""The keys of each record that are read, and the kinds of their values."""


def _has(said: Any, kinds: Kinds) -> bool:
    return isinstance(said, dict) and all(isinstance(said.get(key), kinds[key]) for key in kinds)


def _is_whole(said: JSON) -> bool:
    """Return whether a sweep.json has all that is read from it."""
    if not _has(said, _OF_SWEEP) or not all(_has(run, _OF_RUN) for run in said["runs"]):
        return False
    return all(isinstance(name, str) for run in said["runs"] for name in run["tasks"].values())


def _record(path: Path, kinds: Kinds) -> JSON:
    """Read how a task ended.

    Raises:
        UserError: the file is damaged.
    """
    try:
        said: JSON = read_json(path)
    except UserError as error:
        raise _damaged(path, str(error).partition("; ")[0]) from error
    if not _has(said, kinds):
        raise _damaged(path)
    return said


def _damaged(path: Path, why: str = "") -> UserError:
    why = why or f"{path} is damaged: it lacks what a task writes there"
    return UserError(f"{why}; remove the folder {path.parent} and the task runs again")


def _described(plan: Plan, text: str) -> JSON:
    runs = [
        {
            "name": each.run.name,
            "environment": each.run.environment,
            "method": each.run.method,
            "seed": each.run.seed,
            "tasks": dict(each.tasks),
            "teacher": each.teacher,
        }
        for each in plan.runs
    ]
    return {
        "format": FORMAT,
        "version": VERSION,
        "digest": plan.digest,
        "runs": runs,
        "file": text,
        "provenance": provenance(),
    }


def _files_of(made: Path) -> list[Path]:
    return sorted(each for each in made.rglob("*") if each.is_file()) if made.is_dir() else [made]


def _about(file: Path) -> JSON:
    status = file.stat()
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {"bytes": status.st_size, "sha256": digest, "modified_ns": status.st_mtime_ns}


def _is_as_made(file: Path, about: Mapping[str, Any]) -> bool:
    """Return whether a file is as its task wrote it: of the same size and time or, in a copy, of
    the same content."""
    if not file.is_file() or file.stat().st_size != about["bytes"]:
        return False
    if file.stat().st_mtime_ns == about["modified_ns"]:
        return True
    return bool(_about(file)["sha256"] == about["sha256"])


def _relative(value: Any, folder: str) -> Any:
    """Return a result whose paths are relative to the task's folder."""
    if isinstance(value, dict):
        return {key: _relative(each, folder) for key, each in value.items()}
    if isinstance(value, list):
        return [_relative(each, folder) for each in value]
    if isinstance(value, str) and value.startswith(folder):
        return value[len(folder) :].lstrip("/") or "."
    return value


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def results_of(path: Path) -> Iterator[tuple[JSON, dict[str, JSON]]]:
    """Return each run of sweep.json with the results of its finished tasks by command; the
    evaluation of its teacher is `teacher`.

    Raises:
        UserError: the folder is not a sweep's, or a file in it is damaged.
    """
    folder, known = Folder(path), {}
    for run in read_sweep_json(path / SWEEP)["runs"]:
        names = dict(run["tasks"])
        if run["teacher"]:
            names["teacher"] = run["teacher"]
        for name in names.values():
            if name not in known:
                known[name] = folder.done(name, needs_files=False)
        yield run, {kind: found for kind, name in names.items() if (found := known[name])}
