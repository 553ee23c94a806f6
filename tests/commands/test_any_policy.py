"""`trial` and `build` of the policy for any cart-pole: bare rig files, C firmware, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsectl.commands.any_rig import policies
from sparsectl.commands.build import build
from sparsectl.commands.trial import trial
from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.firmware_host.build import SUMMARY
from sparsectl.firmware_host.config import BuildConfig
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.plants.rig import load_rig
from sparsectl.policy.onnx_file.reader import read_onnx
from tests.plants.test_bare_rig import BARE, bare

ANY = Path("any-cartpole")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in; what was warned of before is warned of again."""
    warn.cache_clear()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_bare_rig_file_swings_up_and_balances(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare(here)
    command = TrialCommand(
        policy=ANY,
        rig="mine.toml",
        clock="lockstep",
        seconds=2.0,
        disturbances=0,
        out=Path("trial"),
        report=False,
    )
    result = trial(command)
    assert result["balanced"] and result["ended"] == "completed"
    assert "mine.toml does not give [base] mass_kg" in capsys.readouterr().err
    folder = here / "runs" / "any-cartpole-mine"
    assert load_rig(folder / "mine.toml").base.limit == 0.3
    graph = read_onnx(folder / "policy" / "policy.onnx")
    assert graph.state_size and graph.rig == "mine" and graph.period_s == 0.01
    before = (folder / "policy" / "policy.c").stat().st_mtime_ns
    built = build(BuildConfig(ANY, rig="mine.toml"))
    assert (folder / "policy" / "policy.c").stat().st_mtime_ns == before  # it was there already
    assert built["board"] == "host" and (folder / "firmware" / SUMMARY).is_file()


@pytest.mark.parametrize(
    ("rig", "words"),
    [
        (None, "any-cartpole is for any rig; name yours with --rig"),
        ("qube_servo2", "drives 'linear.xml' alone"),
        ("sensorsini_bang_bang", "lists [motor] duties to choose from"),
        ("no_such", "no rig no_such"),
        ("mine.toml", "[base] limit is missing"),
    ],
)
def test_what_it_cannot_drive_is_refused_and_leaves_no_file(
    rig: str | None, words: str, here: Path
) -> None:
    bare(here, BARE.replace("limit = {limit}\n", ""))
    for run in (
        lambda: trial(TrialCommand(policy=ANY, rig=rig)),
        lambda: trial(TrialCommand(compare=(ANY, ANY), repeat=2, rig=rig)),
        lambda: build(BuildConfig(ANY, rig=rig)),
    ):
        with pytest.raises(UserError) as caught:
            run()
        assert words in str(caught.value)
    assert [path.name for path in here.iterdir()] == ["mine.toml"]


def test_numbers_outside_the_ranges_are_named_before_it_drives(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "_write_policy", lambda *_: None)  # its file is not looked at
    bare(here, limit=0.9, period_s=0.04, counts=400)
    _, rig = policies.for_rig(ANY, "mine.toml")
    assert rig == str(Path("runs", "any-cartpole-mine", "mine.toml"))
    said = capsys.readouterr().err
    assert "period_s is 0.04, outside of 0.01 to 0.02; any-cartpole was trained" in said
    assert "[base] limit is 0.9, outside of" in said
    assert "[pole] counts_per_turn is 400, outside of" in said


def test_a_folder_of_that_name_comes_first(here: Path) -> None:
    ANY.mkdir()
    assert policies.for_rig(ANY, None) == (ANY, None)
    assert policies.for_rig(Path("policy"), "some_rig") == (Path("policy"), "some_rig")
