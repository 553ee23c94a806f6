"""Scratch folders end with their block, or are deleted by the next process after a SIGKILL."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sparsectl.common import scratch
from sparsectl.common.errors import UserError
from sparsectl.common.scratch import scratch_folder

ROOT = Path(__file__).resolve().parents[2]
HOLDING = """
import sys
from sparsectl.common.scratch import scratch_folder
with scratch_folder("held") as folder:
    (folder / "half").write_text("made")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def holder(temporary: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that holds a scratch folder, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
    )
    with process:
        try:
            assert process.stdout is not None
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_a_folder_ends_with_its_block(temporary: Path) -> None:
    with pytest.raises(KeyError), scratch_folder("mine") as folder:
        assert folder.parent == temporary and folder.name.startswith("sparsectl-tmp-mine-")
        (folder / "file").touch()
        raise KeyError
    assert list(temporary.iterdir()) == []


def test_only_the_folders_of_dead_processes_are_deleted(temporary: Path) -> None:
    # The same name but for one letter more, a file of such a name, and a link to somebody's folder.
    users = [
        temporary / f"sparsectl-tmp-{end}" for end in ("results", "held-abcdefgh9", "a-bcdefghi")
    ]
    for folder in users[:2]:
        folder.mkdir()
        (folder / "kept").touch()
    users[2].touch()
    link = temporary / "sparsectl-tmp-a-12345678"
    link.symlink_to(users[0])
    with holder(temporary) as (first, held), holder(temporary) as (_, living):
        assert (held / "half").is_file() and (living / "half").is_file()
        first.kill()
        first.wait()
        assert held.is_dir()
        with scratch_folder("mine") as mine, scratch_folder("mine") as inner:
            assert not held.exists()
            assert set(temporary.iterdir()) == {*users, link, living, mine, inner}
        assert (living / "half").is_file()
    assert all((folder / "kept").is_file() for folder in users[:2])


def test_a_full_disk_is_named(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill() -> None:
        with scratch_folder("mine"), open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")  # the error does not say which file

    with pytest.raises(OSError, match="No space left"):  # this disk has room: it was another one
        fill()
    monkeypatch.setattr(scratch, "LITTLE", 2**70)
    with pytest.raises(UserError, match="No space left.*free disk space.*TMPDIR") as error:
        fill()
    assert str(temporary) in str(error.value)
    assert list(temporary.iterdir()) == []
