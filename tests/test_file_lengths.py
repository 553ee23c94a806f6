"""A file that is written by hand holds one thing, and so is short."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
MOST_LINES = 400
CODE = {".py", ".c", ".h", ".S", ".ld", ".ino", ".js", ".html", ".toml", ".cfg"}
GENERATED = {"firmware_host/firmware/core/wire_table.h"}
"""Written by `sparsectl.firmware_host.wire_header`, from the table of messages."""


def test_no_file_of_code_is_long() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    written = [name for name in listed if Path(name).suffix in CODE and name not in GENERATED]
    lines = {
        name: (ROOT / name).read_bytes().count(b"\n") for name in written if (ROOT / name).is_file()
    }
    assert len(lines) > 500  # that they were found
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
