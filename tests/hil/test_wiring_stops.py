"""A wiring check that is cut off stops the motor first, and says so."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from sparsectl.commands.trial import trial
from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.wiring.strokes import Strokes
from sparsectl.protocol.wire import Frame, State
from tests.hil.test_wiring import command


@pytest.mark.parametrize("pushes", [False, True])
def test_an_interrupted_check_says_that_the_motor_is_off(
    easy: Path,
    firmware: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    pushes: bool,
) -> None:
    answer = Strokes.command

    def interrupt(strokes: Strokes, observation: Frame) -> dict[str, Any]:
        if (observation["state"] == State.ACTIVE) == pushes:
            signal.raise_signal(signal.SIGINT)
        return answer(strokes, observation)

    monkeypatch.setattr(Strokes, "command", interrupt)
    with pytest.raises(SystemExit) as caught:
        trial(command(easy, tmp_path / "check", firmware))
    assert caught.value.code == 130
    told = capfd.readouterr().err.strip().splitlines()[-1]
    when = ": motor off" if pushes else " before the motor was armed"
    assert told == f"wiring check ended by SIGINT{when}"


def test_a_check_that_fails_stops_the_motor_first(
    easy: Path,
    firmware: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    answer = Strokes.command

    def fail(strokes: Strokes, observation: Frame) -> dict[str, Any]:
        if observation["state"] == State.ACTIVE:
            raise MemoryError
        return answer(strokes, observation)

    monkeypatch.setattr(Strokes, "command", fail)
    with pytest.raises(MemoryError):
        trial(command(easy, tmp_path / "check", firmware))
    told = capfd.readouterr().err
    assert "wiring check ended by a failure of this program: motor off" in told
    frames = read_journal(tmp_path / "check" / "wiring.bin").frames
    assert [f.name for _, f in frames if f.name == "ESTOP"] == ["ESTOP"]
