"""Refuse a sweep before any of its commands runs if one of them would, and name the file's line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsectl.cli import load, parse
from sparsectl.common.errors import NotInstalled, UserError
from sparsectl.experiments.runs import Run
from sparsectl.experiments.settings import settings_of, words_of
from sparsectl.experiments.stages import DATASET, SEEDED, SHARED
from sparsectl.experiments.sweep_file import Given, SweepFile
from sparsectl.policy.choices import choices_of
from sparsectl.policy.tasks import check_task

if TYPE_CHECKING:
    from sparsectl.experiments.plan import Task

NOWHERE = Path("/tmp") / "sparsectl-sweep-is-checked"
"""Stands for the outputs of earlier commands; nothing is read or written there."""


class Checks:
    """Checks each configuration and each environment once.

    Attributes:
        lacking: by the run's name, what it needs and this machine has not installed. Other runs of
            the file may still be chosen and run.
    """

    def __init__(self, file: SweepFile) -> None:
        self.file = file
        self.lacking: dict[str, UserError] = {}
        self._configs: dict[tuple[str, ...], Any] = {}
        self._not_installed: dict[tuple[str, ...], NotInstalled] = {}
        self._chooses: dict[str, bool] = {}
        self._environments: dict[str, str] = {}
        self._teachers: set[tuple[str, str]] = set()

    def check_environment(self, run: Run) -> None:
        """Check that a run's environment exists and that its teacher fits it.

        Raises:
            UserError: with the line in which either is named.
        """
        given = run.settings.get("env")
        if given is None:
            return
        from sparsectl.training.environments.environments import (
            make_environment,
            named_environment,
        )
        from sparsectl.training.environments.signals import environment_signals

        options = [run.settings.get(name) for name in ("env-kwargs", "wrapper")]
        kwargs, wrappers = (_texts(one) for one in options)
        place = str(given.value)
        if place.endswith(".toml"):
            place = str((self.file.path.absolute().parent / place).resolve())
        try:
            env = named_environment(place, kwargs, wrappers)
            if env not in self._chooses:
                made = make_environment(env)
                self._chooses[env] = choices_of(environment_signals(made)) is not None
                made.close()
        except NotInstalled as error:
            self.lacking.setdefault(run.name, self.file.mistake(given.place, str(error)))
            return
        except UserError as error:
            named = [name for name in SHARED if f"{name} is " in str(error)]
            wrong = next((run.settings[name] for name in named if name in run.settings), given)
            raise self.file.mistake(wrong.place, f"{error}{_near(place)}") from error
        self._environments[run.name] = env
        self._check_teacher(run, env)

    def _check_teacher(self, run: Run, env: str) -> None:
        given = run.settings.get("teacher")
        if given is None or (str(given.value), env) in self._teachers:
            return
        from sparsectl.policy.load import LoadOptions, load_acting
        from sparsectl.training.rollouts.evaluate import check_policy

        folder = self.file.path.absolute().parent
        path = (folder / str(given.value)).resolve()
        normalizer = run.settings.get("collect.normalizer")
        try:
            if path.exists():
                statistics = None if normalizer is None else folder / str(normalizer.value)
                check_policy(load_acting(path, LoadOptions(normalizer=statistics)), env, path)
        except UserError as error:
            named = run.settings["env"]  # its own mistakes begin with its name
            wrong = named if str(error).startswith(str(named.value)) else given
            raise self.file.mistake(wrong.place, str(error)) from error
        self._teachers.add((str(given.value), env))

    def checked(self, task: Task, given: Mapping[str, Given], run: Run) -> Any:
        """Return the config of a task after all checks that are possible before it runs.

        Raises:
            UserError: with the line of the setting that is refused.
        """
        try:
            values = _with_places(task)
            seed = values.pop("seed", None) if task.command in SEEDED else None
            config, lacking = self._parsed(task, values, None)
            if seed is not None:
                config, lacking = self._parsed(task, values, seed)
            self._check_together(task, config, run)
        except UserError as error:
            raise self._mistake(task, given, run, error) from error
        if lacking is not None:
            self.lacking.setdefault(run.name, self._mistake(task, given, run, lacking))
        return config

    def _check_together(self, task: Task, config: Any, run: Run) -> None:
        """Check a config against what it takes from earlier tasks.

        Raises:
            UserError: a setting is for actions of another kind than the run's environment has, or
                chooses a task of a student of one.
        """
        env = self._environments.get(run.name)
        is_collected = DATASET in task.inputs
        if task.stage.check_in and is_collected and env is not None:
            load(task.stage.check_in)(config, env, self._chooses[env])
        student = task.inputs.get("policy")
        number = getattr(config, "task", None)
        if student is not None and DATASET in student.inputs and number is not None:
            check_task([], number, "the run's student")

    def _parsed(
        self, task: Task, values: Mapping[str, Any], seed: Any
    ) -> tuple[Any, NotInstalled | None]:
        """Return the checked config, and the package that it needs and that is not here; values of
        runs that differ only in seed are parsed once."""
        words = (task.command, *words_of(task.stage.config, values))
        key = (*words, str(seed))
        if key not in self._configs:
            plain = (*words, "None")
            config = self._configs[plain] if plain in self._configs else parse(list(words))
            if isinstance(seed, int) and not isinstance(seed, bool):
                config = replace(config, seed=seed)
            elif seed is not None:
                config = parse([*words, f"--seed={seed}"])  # its error explains what a seed is
            try:
                load(task.stage.check)(config)
            except NotInstalled as error:
                self._not_installed[key] = error
            self._configs[key] = config
        return self._configs[key], self._not_installed.get(key)

    def _mistake(
        self, task: Task, given: Mapping[str, Given], run: Run, error: UserError
    ) -> UserError:
        """Return the refusal with the line of the first setting that it names; without one, of the
        command's table."""
        said = str(error)
        places = [
            (found.start(), one.place)
            for name, one in given.items()
            if (found := re.search(rf"(?<![\w.-]){_any_spelling(name)}(?![\w-])", said))
        ]
        table = run.settings.get(task.command)
        place = min(places)[1] if places else table.place if table else ()
        said = re.sub(r"; see `[^`]*`$", "", said)
        return self.file.mistake(place, f"{task.command}: {said}{_near_setting(task, said)}")


def _with_places(task: Task) -> dict[str, Any]:
    """Return a task's settings; a file that an earlier task is to make is at a path of nothing."""
    values: dict[str, Any] = {**task.settings, **task.files}
    values |= {name: NOWHERE / name for name in task.inputs}
    if task.stage.out is not None:
        values["out"] = NOWHERE / task.stage.out
    return values


def _any_spelling(name: str) -> str:
    """Return a pattern that matches a setting's name with or without dashes, with - or _ inside."""
    words = "[-_]".join(map(re.escape, re.split("[-_]", name)))
    return rf"(?:--)?{words}"


def _texts(given: Given | None) -> list[str]:
    if given is None:
        return []
    values = given.value if isinstance(given.value, list) else [given.value]
    return [str(value) for value in values]


def _near(name: str) -> str:
    """Suggest the known environment with the most similar name, as the end of a message."""
    import gymnasium

    near = get_close_matches(name, list(gymnasium.registry), 1, 0.6)
    return f"; perhaps you meant {near[0]!r}" if near and near[0] != name else ""


def _near_setting(task: Task, said: str) -> str:
    """Suggest the most similar of the values that a message offers for the one that it refuses."""
    wrong = re.search(r"(?:is|not|choice|board|encoding) '([^']*)'", said)
    offered = re.findall(r"[\w.-]+", said[wrong.end() :] + said[: wrong.start()]) if wrong else []
    value = wrong.group(1) if wrong else ""
    near = get_close_matches(value, [each for each in offered if each != value], 1, 0.6)
    known = settings_of(task.stage.config)
    return f"; perhaps you meant {near[0]!r}" if near and near[0] not in known else ""
