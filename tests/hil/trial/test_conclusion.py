"""How a trial is concluded whose folder, disk or program fails it: the person reads that and why
it ended, and nobody's files are taken for another's."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparsectl.common.errors import EXIT_FAULT, EXIT_MISTAKE, UserError
from sparsectl.hil.analysis.balance import CaptureWatch
from sparsectl.hil.analysis.results import assess
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.journal.journal import JournalWriter, read_journal
from sparsectl.hil.trial import conclusion
from sparsectl.hil.trial.trial import run_trial
from tests.hil.test_interruption import start_trial

Short = Callable[..., TrialConfig]


def interrupted(child: subprocess.Popen[str]) -> str:
    """The last line of a trial after Ctrl-C."""
    child.send_signal(signal.SIGINT)
    _, reported = child.communicate(timeout=60)
    assert child.returncode == 130, reported
    return reported.strip().splitlines()[-1]


def test_a_killed_trial_leaves_no_results_of_an_earlier_one(timid: Path, tmp_path: Path) -> None:
    out = tmp_path / "trial"
    out.mkdir()
    for name in ("summary.json", "report.html", "notes.txt"):
        (out / name).write_text("of an earlier trial")
    child = start_trial(timid, out)
    child.kill()
    child.communicate()
    assert sorted(path.name for path in out.iterdir()) == ["journal.bin", "notes.txt"]


def test_a_folder_deleted_under_way_is_told(timid: Path, tmp_path: Path) -> None:
    child = start_trial(timid, tmp_path / "trial")
    shutil.rmtree(tmp_path / "trial")
    assert interrupted(child) == (
        "trial ended by SIGINT: motor off, the journal "
        f"{tmp_path / 'trial' / 'journal.bin'} was deleted or moved meanwhile"
    )
    assert not (tmp_path / "trial").exists()


def test_a_folder_moved_under_way_takes_its_journal_along(timid: Path, tmp_path: Path) -> None:
    """And whatever has taken its place is left alone: it may be another trial's."""
    child = start_trial(timid, tmp_path / "trial")
    (tmp_path / "trial").rename(tmp_path / "moved")
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "precious").write_text("of somebody else")
    assert "was deleted or moved meanwhile" in interrupted(child)
    assert [path.name for path in (tmp_path / "trial").iterdir()] == ["precious"]
    assert assess(read_journal(tmp_path / "moved" / "journal.bin")).fault == "ESTOP"


def test_a_folder_deleted_before_the_arming_refuses_the_trial(
    short: Short, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = JournalWriter.note

    def delete_at_arm(
        journal: JournalWriter, name: str, host_ns: int | None = None, **fields: Any
    ) -> None:
        note(journal, name, host_ns, **fields)
        if fields.get("phase") == "arm":
            shutil.rmtree(tmp_path / "trial")

    monkeypatch.setattr(JournalWriter, "note", delete_at_arm)
    with pytest.raises(UserError, match=r"cannot give the journal .* leave its folder alone until"):
        run_trial(short())
    assert not (tmp_path / "trial").exists()


@pytest.mark.parametrize(
    ("fault", "code", "reported", "line"),
    [
        (None, EXIT_MISTAKE, "", r"the trial ended \(the pole was not up within 1 s\), but cannot"),
        ("whirled_pole@0.3", EXIT_FAULT, "stopped the trial: POLE_RATE", "cannot write"),
    ],
)
def test_results_that_cannot_be_written_do_not_hide_how_the_trial_ended(
    short: Short,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fault: str | None,
    code: int,
    reported: str,
    line: str,
) -> None:
    (tmp_path / "trial" / "summary.json").mkdir(parents=True)
    with pytest.raises(UserError, match=line) as caught:
        run_trial(short(fault=fault))
    assert caught.value.exit_code == code
    assert reported in capsys.readouterr().err
    assert (tmp_path / "trial" / "journal.bin").is_file()


def test_who_ends_the_program_while_it_reports_has_been_told(
    short: Short, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def impatient(plan: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(conclusion, "finish", impatient)
    with pytest.raises(KeyboardInterrupt):
        run_trial(short(fault="whirled_pole@0.3"))
    assert "trial ended: the board stopped the trial: POLE_RATE" in capsys.readouterr().err


def test_a_failure_of_this_program_stops_the_motor_and_says_so(
    short: Short,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def no_memory(watch: CaptureWatch, time_us: int, angle_rad: float) -> None:
        raise MemoryError

    monkeypatch.setattr(CaptureWatch, "take", no_memory)
    with pytest.raises(MemoryError):
        run_trial(short())
    assert "trial ended by a failure of this program: motor off" in capsys.readouterr().err
    frames = [frame for _, frame in read_journal(tmp_path / "trial" / "journal.bin").frames]
    stop = next(index for index, frame in enumerate(frames) if frame.name == "ESTOP")
    assert "ACK" in [frame.name for frame in frames[stop:]]
