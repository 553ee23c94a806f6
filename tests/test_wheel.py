"""An installation that is not editable has all that a checkout has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sparsectl.training.teachers.teacher_file import write_teacher

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "commands",
    "common",
    "experiments",
    "export",
    "firmware_host",
    "hil",
    "plants",
    "policy",
    "protocol",
    "training",
)
NOT_SHIPPED = {".clang-format"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the tracked files."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(source)], check=True)
    [built] = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_tracked_file_in_one_package(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    held = set(zipfile.ZipFile(wheel).namelist())
    shipped = {path for path in listed if Path(path).name not in NOT_SHIPPED}
    missing = {path for path in shipped if f"sparsectl/{path}" not in held}
    assert not missing
    assert {name.split("/")[0] for name in held if "dist-info" not in name} == {"sparsectl"}


THEIRS = """
import gymnasium
import numpy as np
from common.limits import MOST


class Still(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,))
    action_space = gymnasium.spaces.Box(-MOST, MOST, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.ones(3, np.float32), float(action[1]), False, self.steps == 5, {}
"""


def test_folders_of_the_users_with_our_names_are_not_in_the_way(
    wheel: Path, tmp_path: Path
) -> None:
    """`PYTHONPATH=. sparsectl …` is how one reaches one's own environment."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    repository = tmp_path / "repository"
    for name in PACKAGES:
        (repository / name).mkdir(parents=True)
        content = "" if name in ("common", "training") else "raise ImportError('theirs')"
        (repository / name / "__init__.py").write_text(content)
    (repository / "common" / "limits.py").write_text("MOST = 2.0")
    (repository / "training" / "rooms.py").write_text(THEIRS)
    layers = [(np.ones((2, 3), np.float32), np.zeros(2, np.float32))]
    limits = {"unit": "", "scale": 1.0, "offset": 0.0, "low": -2.0, "high": 2.0}
    signals = {
        side: [{"name": f"{side[0]}{index}", **limits} for index in range(count)]
        for side, count in (("observation", 3), ("action", 2))
    }
    signals |= {"frames": 1, "period_s": 0.0, "rig": None}
    write_teacher(repository / "teacher.onnx", layers, signals, "training.rooms:Still", {})
    program = [sys.executable, "-c", "from sparsectl.start import main; main()"]
    words = "evaluate --policy teacher.onnx --env training.rooms:Still --episodes 2 --json"
    shown = subprocess.run(
        [*program, *words.split()],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": f".:{tmp_path / 'site'}"},
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    # Five steps: nothing seen, then four times ones, of which the network makes tanh(3).
    assert json.loads(shown.stdout)["return_mean"] == pytest.approx(4 * np.tanh(3), rel=1e-5)
    assert str(tmp_path / "site") in json.loads(program_says(program, tmp_path, repository))


def program_says(program: list[str], folder: Path, repository: Path) -> str:
    """Where the program's sparsectl is, as JSON."""
    where = "import json, sparsectl; print(json.dumps(sparsectl.__file__))"
    return subprocess.run(
        [program[0], "-c", where],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": f".:{folder / 'site'}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
