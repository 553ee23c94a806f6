"""`sparsectl sweep`: a grid of the ordinary commands from one file."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any, Final

from sparsectl.command_line.config import SweepConfig
from sparsectl.common.errors import Stopped, UserError
from sparsectl.common.files import check_writable
from sparsectl.common.folder_lock import locked_folder
from sparsectl.common.ranges import check_counts, check_numbers
from sparsectl.common.warning import warn
from sparsectl.experiments.folder import Folder
from sparsectl.experiments.plan import Plan, chosen, plan_of
from sparsectl.experiments.processes import NO_LIMIT_S, Processes, Workers
from sparsectl.experiments.progress import GridProgress
from sparsectl.experiments.schedule import Standing, found, run
from sparsectl.experiments.sweep_file import read_sweep

JSON = dict[str, Any]

MOST_PROCESSES: Final = 1024
MOST_MINUTES: Final = 1e6
EXIT_FAILED: Final = 5
"""Some runs have failed; the others are done."""


def sweep(config: SweepConfig) -> JSON:
    """Run the unfinished tasks of a sweep's file.

    Returns:
        dict: sweep (its folder), runs, done and failed (numbers of runs), tasks (number that are
        finished), failures (name, reason and log of each), exit_code; with `dry_run` a table.

    Raises:
        UserError: a command would refuse a setting, the folder has results of another sweep, or the
            disk is full.
        Stopped: SIGINT came; the same command resumes from there.
    """
    check_counts(config, 0, "processes", most=MOST_PROCESSES)
    check_counts(config, 0, "retries", most=MOST_PROCESSES)
    check_numbers(config, "time_limit", least=0, most=MOST_MINUTES)
    file = read_sweep(config.file)
    out = Path("runs") / config.file.stem if config.out is None else config.out
    check_writable(out)
    folder = Folder(out)
    whole = plan_of(file)
    plan = chosen(whole, config.environment, config.method, config.seed)
    if config.dry_run:
        try:
            folder.check(whole, update=config.update)
        except UserError as error:
            warn(f"without --dry-run this is refused: {error}")
        return _listed(folder, found(plan, folder, skip_failed=False))
    with locked_folder(out):
        folder.check(whole, update=config.update)
        standing = found(plan, folder, skip_failed=config.skip_failed)
        workers, at_once = _workers(config, folder, plan)
        try:
            folder.begin(whole, file.text)
            run(standing, folder, workers, GridProgress(at_once))
        except KeyboardInterrupt as error:
            if type(error) is not KeyboardInterrupt:  # SIGTERM, which has its own exit code
                raise
            done = len(_done(standing))
            raise Stopped(
                f"stopped with {done} of {len(plan.runs)} runs done; the same command resumes "
                "from there"
            ) from None
        return _summary(folder, standing)


def _workers(config: SweepConfig, folder: Folder, plan: Plan) -> tuple[Workers, int]:
    """Return the workers that run the tasks, and how many tasks run at once."""
    limit_s = config.time_limit * 60 or NO_LIMIT_S
    if config.ray is not None:
        from sparsectl.experiments.cluster import Cluster

        cluster = Cluster(folder, plan, config.ray, config.retries, limit_s)
        return cluster, cluster.cores
    count = config.processes or os.cpu_count() or 1
    return Processes(folder, count, limit_s), count


def _done(standing: Standing) -> list[str]:
    """Return the names of the runs whose tasks are all finished."""
    return [
        each.run.name
        for each in standing.plan.runs
        if all(name in standing.seconds for name in each.tasks.values())
    ]


def _summary(folder: Folder, standing: Standing) -> JSON:
    plan, done = standing.plan, _done(standing)
    failures = [
        {
            "task": name,
            "run": plan.tasks[name].label,
            "exit_code": standing.exit_codes[name],
            "error": error,
            "log": str(folder.tasks / name / "log.txt"),
        }
        for name, error in standing.failed.items()
    ]
    return {
        "sweep": str(folder.path),
        "runs": len(plan.runs),
        "done": len(done),
        "failed": len(plan.runs) - len(done),
        "tasks": len(standing.seconds),
        **({"failures": failures} if failures else {}),
        "exit_code": EXIT_FAILED if failures else 0,
    }


def _listed(folder: Folder, standing: Standing) -> JSON:
    """Describe what would run: a line per run, with its commands and which are finished."""
    plan, rows = standing.plan, []
    shared = Counter(name for each in plan.runs for name in each.tasks.values())
    for each in plan.runs:
        words = []
        for command, name in each.tasks.items():
            done = "done" if name in standing.seconds else "to run"
            also = f", shared by {shared[name]}" if shared[name] > 1 else ""
            words.append(f"{command} ({done}{also})")
        rows.append([each.run.name, *words])
    width = max(map(len, rows))
    head = ["run", *[""] * (width - 1)]
    tasks = [
        {
            "task": task.name,
            "done": task.name in standing.seconds,
            "command": ["sparsectl", task.command, *task.words(folder.tasks)],
        }
        for task in plan.tasks.values()
    ]
    return {
        "sweep": str(folder.path),
        "runs": len(plan.runs),
        "tasks": tasks,
        "table": [head, *([*row, *[""] * (width - len(row))] for row in rows)],
    }
