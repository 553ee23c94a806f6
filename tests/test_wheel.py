"""An installation that is not editable has all that a checkout has."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("commands", "common", "export", "firmware_host", "hil", "training")
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


def test_folders_of_the_users_with_our_names_are_not_in_the_way(
    wheel: Path, tmp_path: Path
) -> None:
    """`PYTHONPATH=. sparsectl …` is how one reaches one's own environment."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    for name in PACKAGES:
        (tmp_path / "repository" / name).mkdir(parents=True)
        (tmp_path / "repository" / name / "__init__.py").write_text("raise ImportError('theirs')")
    shown = subprocess.run(
        [sys.executable, "-c", "from sparsectl.cli import main; main()", "evaluate", "--help"],
        cwd=tmp_path / "repository",
        env=os.environ | {"PYTHONPATH": f".:{tmp_path / 'site'}"},
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert "--episodes" in shown.stdout
