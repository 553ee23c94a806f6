"""Choose the next task until all are finished, have failed, or depend on one that has failed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from statistics import mean
from typing import Final, Protocol

from sparsectl.common.errors import UserError
from sparsectl.experiments.folder import Folder, Outcome
from sparsectl.experiments.plan import Plan, Task
from sparsectl.experiments.processes import Workers, is_disk_full

LOOK_EVERY_S: Final = 0.1


@dataclass
class Standing:
    """The state of a sweep; times are those of `time.monotonic`.

    Attributes:
        seconds: duration of each finished task, by name.
        failed: reason of each failed task, by name.
        running: start of each running task, by name.
    """

    plan: Plan
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    exit_codes: dict[str, int] = field(default_factory=dict)

    def is_blocked(self, task: Task) -> bool:
        """Return whether a task that it depends on, directly or not, has failed."""
        needed = task.inputs.values()
        return any(each.name in self.failed or self.is_blocked(each) for each in needed)

    @property
    def waiting(self) -> list[Task]:
        """Return the tasks that may still run, in order."""
        begun = self.seconds.keys() | self.failed.keys() | self.running.keys()
        return [
            task
            for name, task in self.plan.tasks.items()
            if name not in begun and not self.is_blocked(task)
        ]

    @property
    def ready(self) -> list[Task]:
        """Return the waiting tasks whose dependencies are all finished."""
        return [
            task
            for task in self.waiting
            if all(each.name in self.seconds for each in task.inputs.values())
        ]

    def seconds_left(self, at_once: int, now: float) -> float | None:
        """Estimate the remaining time from finished tasks of the same commands; None: too few."""
        took: dict[str, list[float]] = {}
        for name, seconds in self.seconds.items():
            took.setdefault(self.plan.tasks[name].command, []).append(seconds)
        left = 0.0
        for task in [*self.waiting, *(self.plan.tasks[name] for name in self.running)]:
            if task.command not in took:
                return None
            gone = now - self.running.get(task.name, now)
            left += max(mean(took[task.command]) - gone, 0.0)
        return left / at_once


class Shown(Protocol):
    """Progress on a terminal or in a log."""

    def update(self, standing: Standing, said: Mapping[str, str]) -> None:
        """Redraw it; `said` has the last line of each running task, by name."""


def found(plan: Plan, folder: Folder, *, skip_failed: bool) -> Standing:
    """Return which tasks of a plan are finished and, with `skip_failed`, which have failed.

    Raises:
        UserError: the output of a task was changed afterwards.
    """
    standing = Standing(plan)
    for name in plan.tasks:
        if (done := folder.done(name)) is not None:
            standing.seconds[name] = done["seconds"]
        elif skip_failed and (failed := folder.failed(name)) is not None:
            standing.failed[name] = failed["error"]
            standing.exit_codes[name] = failed["exit_code"]
    return standing


def run(
    standing: Standing,
    folder: Folder,
    workers: Workers,
    shown: AbstractContextManager[Shown],
) -> None:
    """Run the remaining tasks. Whatever ends this process or loop ends the running tasks too.

    Raises:
        UserError: the disk is full.
    """
    with shown as display:
        try:
            while standing.running or standing.ready:
                for task in standing.ready[: max(workers.free, 0)]:
                    workers.start(task)
                    standing.running[task.name] = time.monotonic()
                for task, outcome in workers.ended():
                    _end(standing, folder, task, outcome)
                said = {name: workers.said(standing.plan.tasks[name]) for name in standing.running}
                display.update(standing, said)
                time.sleep(LOOK_EVERY_S)
        finally:
            workers.stop()


def _end(standing: Standing, folder: Folder, task: Task, outcome: Outcome) -> None:
    del standing.running[task.name]
    if outcome.exit_code and is_disk_full(outcome.error):
        # The command's own advice is for one that runs alone.
        said = outcome.error.partition("; ")[0]
        raise UserError(f"{task.label}: {said}; free disk space, then run this command again")
    folder.record(task, outcome)
    if outcome.exit_code:
        standing.failed[task.name] = outcome.error
        standing.exit_codes[task.name] = outcome.exit_code
    else:
        standing.seconds[task.name] = outcome.seconds
