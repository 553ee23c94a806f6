"""One process a folder, whatever the command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparsectl import cli
from sparsectl.common.errors import UserError
from sparsectl.common.folder_lock import locked_folder
from sparsectl.training.config import CollectConfig
from sparsectl.training.rollouts.collect import collect
from tests.training.balancer import ENVIRONMENT, write_balancer

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from sparsectl.common.folder_lock import locked_folder
with locked_folder(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def taken(tmp_path: Path) -> Iterator[Path]:
    """A folder that another process has."""
    folder = tmp_path / "taken"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        yield folder
        child.communicate()


def test_a_folder_that_another_process_writes_to(
    taken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher, dataset = write_balancer(tmp_path / "t.safetensors"), tmp_path / "dataset.npz"
    collect(CollectConfig(teacher, ENVIRONMENT, dataset, 60, workers=1))
    for words in (
        ["demo"],
        ["teach", "--env", ENVIRONMENT, "--steps", "6000"],
        ["distill", "--dataset", str(dataset), "--preset", "quick"],
    ):
        assert cli.run([*words, "--out", str(taken)]) == 2
        assert f"another sparsectl is writing to {taken}; wait" in capsys.readouterr().err
        assert not list(taken.iterdir())


def test_a_stage_has_its_runs_folder_too(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "deep" / "run") as is_new:
        assert is_new
        with locked_folder(tmp_path / "deep" / "run") as is_new:
            assert not is_new
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot use the folder"), locked_folder(tmp_path / "file"):
        pass
