"""A disk without room ends a command in one line, and leaves nothing that looks like a result."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.balancer import ENVIRONMENT

ROOT = Path(__file__).parents[2]
DISTILL = (
    "distill --dataset {dataset} --preset quick --method gradual --steps 20 --hidden 8 "
    "--batch-size 64 --finetune.steps 20 --keep 10 --checkpoint-seconds 0 --out {out}"
)


def run(words: str, limit: int) -> subprocess.CompletedProcess[str]:
    """The command where no file may grow beyond the limit, as the system has it of a quota."""

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "sparsectl", *words.split()]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, preexec_fn=no_room, timeout=300
    )


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        (
            f"collect --teacher {{teacher}} --env {ENVIRONMENT} --transitions 400 --workers 1 "
            "--out {out}/dataset.npz",
            8192,
        ),
        (DISTILL, 8192),
        ("export {teacher} --observations 100 --out {out}/policy", 700),
    ],
)
def test_no_room(words: str, limit: int, balancer: Path, balancing: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "deeper"
    done = run(words.format(teacher=balancer, dataset=balancing, out=out), limit)
    reported = [line for line in done.stderr.splitlines() if line.startswith("sparsectl ")]
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "File too large" in reported[-1], done.stderr
    assert not out.exists()
