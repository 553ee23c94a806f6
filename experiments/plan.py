"""The tasks of a sweep: each command of each run, once if several runs share it.

A task's name contains the digest of everything that its result depends on: the command, all of its
settings, and the digests of its files and of the tasks before it. A finished task is therefore
found again by any sweep file that asks for the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.experiments.checks import Checks
from sparsectl.experiments.own_code import own_code
from sparsectl.experiments.runs import Run, runs_of
from sparsectl.experiments.settings import Setting, settings_of, value_of, words_of
from sparsectl.experiments.stages import (
    CHAIN,
    FROM_BEFORE,
    POLICY,
    SEEDED,
    SHARED,
    STUDENT,
    TEACHER,
    UNSHOWN,
    Stage,
)
from sparsectl.experiments.sweep_file import Given, SweepFile

DIGITS: Final = 12
TASKS: Final = "tasks"
NONE: Final = "None"
"""The command line's word for a setting that is not given."""

STUDENTS_TASK: Final = "evaluate.task"
"""Chooses among the tasks of a student; a teacher has one."""

INSTEAD: Final = {POLICY: (POLICY, STUDENT, TEACHER), STUDENT: (STUDENT, TEACHER)}
"""A setting that takes the output of an earlier command: the first of these that exists."""


@dataclass(frozen=True)
class Task:
    """A command with all of its settings.

    Attributes:
        name: its folder in `tasks/`.
        command: its name.
        label: a name for people, of the first run that needs it.
        settings: the given settings by name, without paths.
        files: settings that are input files → their paths.
        inputs: settings that are outputs of other tasks → the tasks.
    """

    name: str
    command: str
    label: str
    settings: Mapping[str, Any]
    files: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Task] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        """Return the stage of its command in the chain."""
        return CHAIN[self.command]

    def words(self, tasks: Path) -> list[str]:
        """Return the words of its command line for a folder of tasks."""
        made = {name: tasks / task.name / task.stage.file for name, task in self.inputs.items()}
        values = {**self.settings, **self.files, **made}
        if self.stage.out is not None:
            values["out"] = tasks / self.name / self.stage.out
        return words_of(self.stage.config, values)


@dataclass(frozen=True)
class PlannedRun:
    """A run, and the names of its tasks by command.

    Attributes:
        teacher: the task that evaluates its teacher, if both are evaluated.
        lacking: the refusal if it needs a package that this machine has not installed.
    """

    run: Run
    tasks: Mapping[str, str]
    teacher: str | None
    lacking: UserError | None = None


@dataclass(frozen=True)
class Plan:
    """All runs and their tasks, by name; each task comes after those that it needs."""

    runs: tuple[PlannedRun, ...]
    tasks: Mapping[str, Task]

    @property
    def digest(self) -> str:
        """Return the digest of the runs and tasks."""
        said = [[each.run.name, sorted(each.tasks.values())] for each in self.runs]
        return _digest(said)


def chosen(
    plan: Plan, environments: Sequence[str], methods: Sequence[str], seeds: Sequence[int]
) -> Plan:
    """Return the runs of these names and seeds (none: of all) and the tasks that they need.

    Raises:
        UserError: there is no such run, or one of them needs a package that is not installed.
    """
    wanted = {"environment": environments, "table": methods, "seed": seeds}
    for name, values in wanted.items():
        known = list(dict.fromkeys(getattr(each.run, name) for each in plan.runs))
        for value in values:
            if value not in known:
                option = "method" if name == "table" else name
                near = get_close_matches(str(value), map(str, known), 1)
                mend = f"perhaps you meant {near[0]!r}" if near else f"take one of {known}"
                raise UserError(f"--{option} is {value!r}, of which the file has no run; {mend}")
    runs = tuple(
        each
        for each in plan.runs
        if all(not values or getattr(each.run, name) in values for name, values in wanted.items())
    )
    for each in runs:
        if each.lacking is not None:
            raise each.lacking
    needed: set[str] = set()
    waiting = [name for each in runs for name in (*each.tasks.values(), each.teacher) if name]
    while waiting:
        needed.add(name := waiting.pop())
        waiting += [each.name for each in plan.tasks[name].inputs.values()]
    return Plan(runs, {name: task for name, task in plan.tasks.items() if name in needed})


def plan_of(file: SweepFile) -> Plan:
    """Plan all runs; what a command would refuse is refused here, except for a package that is not
    installed, which `chosen` refuses where a chosen run needs it.

    Raises:
        UserError: a setting is refused; the message has the file's line.
    """
    planner = _Planner(file)
    runs = tuple(planner.planned(run) for run in runs_of(file))
    return Plan(runs, planner.tasks)


class _Planner:
    def __init__(self, file: SweepFile) -> None:
        self.file = file
        self.checks = Checks(file)
        self.tasks: dict[str, Task] = {}
        self._digests: dict[Path, str] = {}

    def planned(self, run: Run) -> PlannedRun:
        made: dict[str, Task | Path] = {}
        if (teacher := run.settings.get("teacher")) is not None:
            made[TEACHER] = self._file(teacher)
        self.checks.check_environment(run)
        tasks: dict[str, str] = {}
        for command in run.commands:
            task = self._task(run, CHAIN[command], made)
            tasks[command] = task.name
            if task.stage.makes is not None:
                made[task.stage.makes] = task
        beside = None
        if STUDENT in made and TEACHER in made and "evaluate" in tasks:
            only = {TEACHER: made[TEACHER]}
            settings = {name: run.settings[name] for name in run.settings if name != STUDENTS_TASK}
            label = f"{run.environment}, teacher"
            beside = self._task(
                replace(run, settings=settings), CHAIN["evaluate"], only, label
            ).name
        return PlannedRun(run, tasks, beside, self.checks.lacking.get(run.name))

    def _task(
        self, run: Run, stage: Stage, made: Mapping[str, Task | Path], label: str = ""
    ) -> Task:
        given = self._given(run, stage)
        known = settings_of(stage.config)
        sources: dict[str, Task | Path] = {}
        for name, kind in stage.takes.items():
            if name not in given and (source := _source(made, kind)) is not None:
                sources[name] = source
        for name, one in given.items():
            named = [kind for kind in made if one.value == FROM_BEFORE % kind]
            if named:
                sources[name] = made[named[0]]
            elif isinstance(one.value, str) and one.value in _ALL_FROM_BEFORE:
                raise self.file.mistake(
                    one.place,
                    f"{stage.command}.{name} is {one.value}, but the run {run.name!r} makes none "
                    "before it",
                )
        values = {name: one.value for name, one in given.items() if name not in sources}
        paths = {name for name in values if known[name].is_path and values[name] != NONE}
        files: dict[str, Any] = {name: self._files(known[name], given[name]) for name in paths}
        files |= {name: source for name, source in sources.items() if isinstance(source, Path)}
        task = Task(
            "",
            stage.command,
            label or run.name,
            {name: value for name, value in values.items() if name not in paths},
            files,
            {name: source for name, source in sources.items() if isinstance(source, Task)},
        )
        config = self.checks.checked(task, given, run)
        task = Task(f"{stage.command}-{self._key(task, config)}", *_rest(task))
        return self.tasks.setdefault(task.name, task)

    def _given(self, run: Run, stage: Stage) -> dict[str, Given]:
        """Return a command's settings: those of the whole run, overridden by its own."""
        known = settings_of(stage.config)
        shared = {name: run.settings[name] for name in SHARED if name in run.settings}
        if stage.command in SEEDED:
            place = run.settings["seed"].place
            shared["seed"] = Given(run.seed, place)
        given = {name: one for name, one in shared.items() if name in known}
        given |= run.of_command(stage.command)
        if "env" in given and given["env"].value != NONE:
            given["env"] = self._environment(given["env"])
        return given

    def _environment(self, env: Given) -> Given:
        """Return the environment, with the absolute path of a rig's file."""
        if isinstance(env.value, str) and env.value.endswith(".toml"):
            return Given(str(self._file(env)), env.place)
        return env

    def _files(self, setting: Setting, given: Given) -> Any:
        if isinstance(given.value, list):
            return [str(self._file(Given(each, given.place))) for each in given.value]
        return self._file(given)

    def _file(self, given: Given) -> Path:
        """Return the path of an input file or folder, which is given relative to the sweep's file.

        Raises:
            UserError: it does not exist.
        """
        if not isinstance(given.value, str) or not given.value:
            raise self.file.mistake(given.place, f"{given.value!r} names no file; give its path")
        path = Path(given.value)
        if given.value.startswith("minari:"):
            return path
        found = (self.file.path.absolute().parent / path).resolve()
        if not found.exists():
            raise self.file.mistake(
                given.place,
                f"no such file: {given.value} (paths are relative to the sweep's file, so this is "
                f"{found})",
            )
        return found

    def _key(self, task: Task, config: Any) -> str:
        known = settings_of(task.stage.config)
        shown = {
            name: _plain(value_of(config, setting))
            for name, setting in known.items()
            if name not in UNSHOWN and name not in task.files and name not in task.inputs
        }
        shown |= {name: self._content(value) for name, value in task.files.items()}
        shown |= {name: each.name for name, each in task.inputs.items()}
        env = shown.get("env")
        if isinstance(env, str) and env.endswith(".toml"):
            shown["env"] = self._content(Path(env))
        elif isinstance(env, str) and (code := own_code(env, shown.get("wrapper") or ())):
            shown["own code"] = [[file.name, self._content(file)] for file in code]
        settings = {name: value for name, value in shown.items() if value is not None}
        return _digest([task.command, settings])

    def _content(self, path: Any) -> Any:
        """Return the digest of a file's content, or of all files in a folder."""
        if isinstance(path, list):
            return [self._content(Path(each)) for each in path]
        if path not in self._digests:
            self._digests[path] = _content_digest(path)
        return self._digests[path]


_ALL_FROM_BEFORE: Final = {FROM_BEFORE % stage.makes for stage in CHAIN.values() if stage.makes}


def _rest(task: Task) -> tuple[str, str, Mapping[str, Any], Mapping[str, Any], Mapping[str, Task]]:
    return task.command, task.label, task.settings, task.files, task.inputs


def _source(made: Mapping[str, Task | Path], kind: str) -> Task | Path | None:
    return next((made[each] for each in INSTEAD.get(kind, (kind,)) if each in made), None)


def _plain(value: Any) -> Any:
    """Return a value in the types of JSON."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _content_digest(path: Path) -> str:
    """Return the digest of a file, of the names and contents in a folder, or of a name in Minari.

    Raises:
        UserError: it cannot be read.
    """
    if not path.exists():
        return str(path)
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    total = hashlib.sha256()
    try:
        for each in files:
            with each.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            total.update(f"{each.relative_to(path)}\0{digest}\n".encode())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; make it readable") from error
    return total.hexdigest()
