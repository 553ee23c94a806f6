"""Files are whole or absent, and so are the folders that were made for them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path, check_file, check_writable, read_json


def test_a_block_that_fails_leaves_no_file_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a" / "b" / "c.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_folders_that_were_there_stay(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a" / "b" / "c.txt"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_the_users_to_mend(code: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with (
        pytest.raises(UserError, match=f"cannot write {path}: .*; free disk space"),
        atomic_path(path),
    ):
        raise OSError(code, os.strerror(code))
    assert not path.exists()


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_refused(word: str, tmp_path: Path) -> None:
    path = tmp_path / "done.json"
    path.write_text(f'{{"result": {{"return_mean": {word}}}}}')
    with pytest.raises(UserError, match=f"done.json is not JSON: {word} is no number of JSON"):
        read_json(path)


def test_a_file_where_a_folder_is_wanted_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    for place in (tmp_path / "notes", tmp_path / "notes" / "deeper"):
        with pytest.raises(UserError, match="notes is a file; give another --out"):
            check_writable(place)
        with pytest.raises(UserError, match="notes is a file"), atomic_path(place / "file"):
            pass
    with pytest.raises(UserError, match="which is a folder; name a file"):
        check_file(tmp_path)
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_place_that_takes_no_folder_is_refused() -> None:
    with pytest.raises(UserError, match="cannot write /proc/zz: "):
        check_writable(Path("/proc/zz"))


def test_a_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    check_file(tmp_path / "c" / "file")
    assert not list(tmp_path.iterdir())


def test_a_limit_on_file_size_ends_in_one_line(tmp_path: Path) -> None:
    """The operating system's own refusal, as a full disk gives it in the middle of a write."""
    code = (
        "import resource, sys; from pathlib import Path; from common.files import atomic_path\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "with atomic_path(Path(sys.argv[1])) as temporary: temporary.write_bytes(bytes(5000))"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, str(tmp_path / "folder" / "file")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert "UserError: cannot write" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_device_is_not_replaced_by_a_file() -> None:
    with (
        pytest.raises(UserError, match="/dev/null: it is not an ordinary file"),
        atomic_path(Path("/dev/null")),
    ):
        raise AssertionError("nothing may be written")
    assert Path("/dev/null").is_char_device()
