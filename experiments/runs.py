"""The runs of a sweep's file: each with all of its settings and their places in the file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from sparsectl.experiments.stages import CHAIN, TEACHER
from sparsectl.experiments.sweep_file import ENVIRONMENT, METHOD, Given, Grid, Layer, SweepFile

MOST_RUNS: Final = 100_000
SEED: Final = "seed"


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        environment: name of its table in the file, or the environment's id.
        table: name of its method's table.
        method: that name, and the settings of further axes in which the grid's runs differ.
        seed: the seed of its commands that take one.
        settings: all of its settings by name.
    """

    environment: str
    table: str
    method: str
    seed: int
    settings: Layer

    @property
    def name(self) -> str:
        """The name that identifies the run."""
        return ", ".join(filter(None, (self.environment, self.method, f"seed {self.seed}")))

    @property
    def commands(self) -> list[str]:
        """Return the commands for which the file has a table or a setting, in order; a run with a
        given teacher trains none."""
        wanted = {name.partition(".")[0] for name in self.settings}
        if TEACHER in self.settings:
            wanted.discard("teach")
        return [name for name in CHAIN if name in wanted]

    def of_command(self, command: str) -> dict[str, Given]:
        """Return the settings of one of its commands, by their names in that command."""
        prefix = f"{command}."
        return {
            name.removeprefix(prefix): given
            for name, given in self.settings.items()
            if name.startswith(prefix)
        }


def runs_of(file: SweepFile) -> list[Run]:
    """Return all runs in the order of the grids.

    Raises:
        UserError: there are none or too many, two have the same name, or a seed is not a whole
            number.
    """
    found: dict[str, Run] = {}
    for grid in file.grids:
        for run in _runs(file, grid):
            if run.name in found:
                raise file.mistake(grid.place, f"the run {run.name!r} is asked for twice")
            found[run.name] = run
    return list(found.values())


def _runs(file: SweepFile, grid: Grid) -> Iterator[Run]:
    axes = dict(grid.axes)
    for axis, layers in ((ENVIRONMENT, file.environments), (METHOD, file.methods)):
        every = tuple(Given(name, (axis, name)) for name in layers)
        axes.setdefault(axis, every or (Given("", ()),))
    seeds = axes.pop(SEED, ())
    if not seeds:
        seeds = (file.base.get(SEED, Given(0, ())),)
    count = math.prod(len(values) for values in (*axes.values(), seeds))
    if count > MOST_RUNS:
        raise file.mistake(grid.place, f"the grid has {count:,} runs; give {MOST_RUNS:,} at most")
    others = [name for name in axes if name not in (ENVIRONMENT, METHOD)]
    varied = [name for name in others if len(axes[name]) > 1]
    order = (ENVIRONMENT, METHOD, *others)
    for values in product(*(axes[name] for name in order), seeds):
        chosen = dict(zip((*order, SEED), values, strict=True))
        yield _run(file, chosen, varied)


def _run(file: SweepFile, chosen: Mapping[str, Given], varied: list[str]) -> Run:
    environment, method = chosen[ENVIRONMENT].value, chosen[METHOD].value
    seed = chosen[SEED]
    if not isinstance(seed.value, int) or isinstance(seed.value, bool) or seed.value < 0:
        raise file.mistake(
            seed.place,
            f"seed is {repr(seed.value)[:80]}; give a whole number from 0, or several under [grid]",
        )
    own = {name: given for name, given in chosen.items() if name not in (ENVIRONMENT, METHOD)}
    settings = {
        **file.base,
        **file.environments.get(environment, {}),
        **file.methods.get(method, {}),
        **{name.partition(".")[0]: given for name, given in own.items() if "." in name},
        **own,
    }
    _check_teacher(file, settings)
    if not any(name.partition(".")[0] in CHAIN for name in settings):
        words = ", ".join(f"[{name}]" for name in CHAIN)
        raise file.mistake(chosen[METHOD].place, f"no command is asked for; write one of {words}")
    env = settings.get("env")
    label = [method, *(f"{_last(name)} {_text(chosen[name].value)}" for name in varied)]
    known = environment or ("" if env is None else str(env.value))
    return Run(known, method, ", ".join(filter(None, label)), seed.value, settings)


def _check_teacher(file: SweepFile, settings: Layer) -> None:
    """Check that no teacher is given and trained by the same table, or given to all runs and
    trained. Settings of `teach` for all runs may be of those alone whose environment has none."""
    if (teacher := settings.get(TEACHER)) is None:
        return
    table = teacher.place[:-1]
    for name, given in settings.items():
        if name.partition(".")[0] == "teach" and given.place[: len(table)] == table:
            raise file.mistake(
                given.place,
                f"teach would train a teacher, but teacher is {teacher.value!r} for the same runs; "
                "leave one of them out",
            )


def _last(name: str) -> str:
    """Return a setting's name without that of its command."""
    return name.partition(".")[2] or name


def _text(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)
