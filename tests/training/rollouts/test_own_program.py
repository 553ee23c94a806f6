"""Programs of one's own that call `sparsectl.api`, run as files: workers do not start them over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.balancer import write_balancer

ROOT = Path(__file__).resolve().parents[3]
COLLECT = """
from sparsectl import api
limit = ["max_episode_steps=20"]
made = api.collect(
    teacher="t.safetensors", env=ENV, env_kwargs=limit, out="d.npz", transitions=60, workers=1
)
print(made["transitions"])
"""
OWN = """
import gymnasium
from gymnasium.envs.mujoco.inverted_pendulum_v5 import InvertedPendulumEnv
class Mine(InvertedPendulumEnv):
    pass
gymnasium.register("Mine-v0", entry_point=MADE)
"""
STRING = "'gymnasium.envs.mujoco.inverted_pendulum_v5:InvertedPendulumEnv'"


def guarded(program: str) -> str:
    return "if __name__ == '__main__':\n    " + program.strip().replace("\n", "\n    ")


@pytest.mark.parametrize(
    "program",
    [
        COLLECT.replace("ENV", "'InvertedPendulum-v5'"),
        OWN.replace("MADE", STRING) + COLLECT.replace("ENV", "'Mine-v0'"),
        OWN.replace("MADE", "Mine") + guarded(COLLECT.replace("ENV", "'Mine-v0'")),
        OWN.replace("MADE", STRING) + guarded(COLLECT.replace("ENV", "'__main__:Mine'")),
    ],
    ids=["known", "registered", "defined", "named"],
)
def test_workers_know_the_environment(program: str, tmp_path: Path) -> None:
    done = run(program, tmp_path)
    assert done.stdout == "60\n", done.stderr
    assert done.returncode == 0


def test_a_program_that_defines_it_has_to_be_guarded(tmp_path: Path) -> None:
    program = OWN.replace("MADE", "Mine") + COLLECT.replace("ENV", "'Mine-v0'")
    done = run(program, tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "UserError: a worker process of " in last
    assert 'put what your program does under `if __name__ == "__main__":`' in last
    assert not (tmp_path / "d.npz").exists()


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    write_balancer(folder / "t.safetensors")
    (folder / "mine.py").write_text(program)
    return subprocess.run(
        [sys.executable, "mine.py"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
