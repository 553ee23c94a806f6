"""Show a sweep's progress: the grid and running tasks on a terminal, else a line at intervals."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sparsectl.common.progress import LINE_EVERY_S
from sparsectl.experiments.schedule import Standing

REDRAWN_EVERY_S: Final = 0.5


class GridProgress:
    """Shows the state of a sweep on stderr.

    Args:
        at_once: number of tasks that run in parallel.
    """

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._started = self._shown = time.monotonic()
        self._told = 0

    def __enter__(self) -> GridProgress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def update(self, standing: Standing, said: Mapping[str, str]) -> None:
        """Redraw it if the interval has passed."""
        now = time.monotonic()
        for name in list(standing.failed)[self._told :]:
            line = f"failed: {standing.plan.tasks[name].label}: {standing.failed[name]}"
            self._console.print(Text(line), soft_wrap=True)
        self._told = len(standing.failed)
        every = REDRAWN_EVERY_S if self._console.is_terminal else LINE_EVERY_S
        if now - self._shown < every:
            return
        self._shown = now
        if self._console.is_terminal:
            self._live.update(self._drawn(standing, said, now), refresh=True)
        else:
            print(f"sweep: {self._line(standing, now)}", file=sys.stderr, flush=True)

    def _line(self, standing: Standing, now: float) -> str:
        done, all_of_them = len(standing.seconds), len(standing.plan.tasks)
        left = standing.seconds_left(self.at_once, now)
        parts = [f"{done} of {all_of_them} tasks", f"{_clock(now - self._started)} gone"]
        parts += [] if left is None else [f"about {_clock(left)} left"]
        parts += [f"{len(standing.failed)} failed"] if standing.failed else []
        return ", ".join(parts)

    def _drawn(self, standing: Standing, said: Mapping[str, str], now: float) -> Group:
        bar = ProgressBar(len(standing.plan.tasks), len(standing.seconds), width=40)
        table = Table.grid(padding=(0, 2))
        for name, since in standing.running.items():
            task = standing.plan.tasks[name]
            table.add_row(task.command, task.label, _clock(now - since), Text(said[name]))
        return Group(bar, Text(self._line(standing, now)), table)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
