"""An installation that is not editable has all that a checkout has."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("commands", "common", "export", "firmware_host", "hil", "training")
NOT_SHIPPED = {".clang-format"}


def test_the_wheel_holds_every_tracked_file_of_the_packages(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(tmp_path), str(source)], check=True)
    [wheel] = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    shipped = {path for path in listed if Path(path).name not in NOT_SHIPPED}
    missing = {path for path in shipped if f"sparsectl/{path}" not in held}
    assert not missing
    assert {name.split("/")[0] for name in held if "dist-info" not in name} == {"sparsectl"}
