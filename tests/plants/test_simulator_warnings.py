"""MuJoCo's warnings are reported in a line and leave no file in the user's folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

UNSTABLE = """
import sys
sys.path.insert(0, {root!r})
{made}
for _ in range(3):
    data.qvel[0] = 1e12  # which MuJoCo takes for a simulation that has run away
    step()
"""
OF_A_RIG = """
from sparsectl.plants.plant import Plant
from sparsectl.plants.rig import load_rig
plant = Plant(load_rig("sensorsini_cartpole"))
data, step = plant.data, lambda: plant.advance(0.02)
"""
OF_GYMNASIUM = """
from sparsectl.training.environments.environments import make_environment
environment = make_environment("InvertedPendulum-v5")
environment.reset(seed=0)
data = environment.unwrapped.data
step = lambda: environment.unwrapped.do_simulation([0.0], 1)
"""
OF_SOMEBODY = """
import mujoco
from sparsectl.plants.plant import Plant
from sparsectl.plants.rig import load_rig
mujoco.set_mju_user_warning(lambda text: print("theirs", file=sys.stderr))
plant = Plant(load_rig("sensorsini_cartpole"))
data, step = plant.data, lambda: plant.advance(0.02)
"""


def lines_of(made: str, folder: Path) -> list[str]:
    """What a program in `folder` says on stderr whose simulation runs away three times."""
    root = str(Path(__file__).resolve().parents[2])
    code = UNSTABLE.format(root=root, made=made)
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert list(folder.iterdir()) == []
    return ran.stderr.strip().splitlines()


def test_a_rigs_simulation_that_runs_away_is_told_once(tmp_path: Path) -> None:
    (line,) = lines_of(OF_A_RIG, tmp_path)
    assert line.startswith("sparsectl: warning: MuJoCo: Nan, Inf or huge value in QVEL at DOF 0.")
    assert "back to its start, so its results mean nothing: mend the masses" in line


def test_so_is_an_environments_of_gymnasium(tmp_path: Path) -> None:
    assert "huge value in QVEL" in lines_of(OF_GYMNASIUM, tmp_path)[-1]


def test_a_handler_of_the_users_own_stays(tmp_path: Path) -> None:
    assert set(lines_of(OF_SOMEBODY, tmp_path)) == {"theirs"}
