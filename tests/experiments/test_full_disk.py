"""A disk that fills up while a sweep runs ends it; it is nobody's failure."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import pytest

from sparsectl.common.errors import UserError
from sparsectl.experiments.folder import Folder, Outcome
from sparsectl.experiments.plan import Task, plan_of
from sparsectl.experiments.processes import Workers
from sparsectl.experiments.schedule import found, run
from sparsectl.experiments.sweep_file import read_sweep
from tests.experiments.test_sweep_file import GOOD
from tests.training.balancer import write_balancer


class Full:
    """Workers whose first task finds the disk full."""

    free = 1

    def __init__(self) -> None:
        self.begun: list[Task] = []
        self.is_stopped = False

    def start(self, task: Task) -> None:
        self.begun.append(task)

    def ended(self) -> list[tuple[Task, Outcome]]:
        error = (
            "sparsectl collect: cannot write d.npz (No space left on device); free disk space, or "
            "give another --out"
        )
        return [(self.begun[-1], Outcome(2, {}, error, 1.0))]

    def said(self, task: Task) -> str:
        return ""

    def stop(self) -> None:
        self.is_stopped = True


def test_a_full_disk_ends_the_sweep_and_nothing_has_failed(tmp_path: Path) -> None:
    write_balancer(tmp_path / "teacher.safetensors")
    (tmp_path / "sweep.toml").write_text(GOOD)
    plan = plan_of(read_sweep(tmp_path / "sweep.toml"))
    folder, workers, shown = Folder(tmp_path / "out"), Full(), cast(Any, nullcontext())
    with pytest.raises(UserError) as caught:
        run(found(plan, folder, skip_failed=False), folder, cast(Workers, workers), shown)
    assert str(caught.value).endswith(
        "cannot write d.npz (No space left on device); free disk space, then run this command again"
    )
    assert len(workers.begun) == 1 and workers.is_stopped
    assert folder.failed(workers.begun[0].name) is None
