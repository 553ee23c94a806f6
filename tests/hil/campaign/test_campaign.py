"""Campaigns with real trials, in lockstep."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sparsectl.commands.trial import trial
from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json
from sparsectl.hil.analysis.results import assess
from sparsectl.hil.campaign.comparison import A_BETTER
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.hil.campaign.host_faults import is_hosts
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.trial.trial import run_trial
from tests.hil.policies import EASY_RIG, export_graph, timid_graph

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy for the easy rig that leaves the pole hanging."""
    graph = timid_graph(rig=EASY_RIG.stem)
    return export_graph(graph, tmp_path_factory.mktemp("still") / "policies")


def command(out: Path, **changes: Any) -> TrialCommand:
    settings: dict[str, Any] = {
        "rig": str(EASY_RIG),
        "clock": "lockstep",
        "seconds": 8.0,
        "swing_up_limit_s": 5.0,
        "disturbances": 0,
        "repeat": 3,
        "out": out,
        "link_timeout_ticks": 10,
    }
    return TrialCommand(**{**settings, **changes})


def test_two_policies(easy: Path, still: Path, tmp_path: Path) -> None:
    result = trial(command(tmp_path / "campaign", compare=(easy, still), repeat=5))
    assert result["answer"] == A_BETTER and result["pairs"] == 5
    assert result["difference"]["low"] > 0.1
    good, bad = result["policies"]["A"], result["policies"]["B"]
    assert good["trials"] == bad["trials"] == 5
    assert bad["score"]["value"] == 0.0 and bad["failed_seeds"] == list(range(5))
    assert Path(result["picture"]).read_bytes().startswith(b"\x89PNG")
    summary = json.loads((tmp_path / "campaign" / "summary.json").read_text())
    assert summary["campaign"]["answer"] == A_BETTER


@pytest.mark.parametrize("compares", [False, True])
def test_a_campaign_builds_its_firmware_where_it_is_told(
    still: Path, tmp_path: Path, compares: bool
) -> None:
    out, firmware = tmp_path / "campaign", tmp_path / "built"
    which: dict[str, Any] = {"compare": (still, still)} if compares else {"policy": still}
    trial(command(out, repeat=2, seconds=1.0, swing_up_limit_s=1.0, firmware=firmware, **which))
    names = ["built-A", "built-B"] if compares else ["built"]
    assert sorted(path.name for path in tmp_path.glob("built*")) == names
    assert all((tmp_path / name / "build.json").is_file() for name in names)
    assert not list(out.glob("firmware*"))


def test_kicks_that_never_came_are_told(still: Path, tmp_path: Path) -> None:
    asked = command(tmp_path / "campaign", policy=still, repeat=2, disturbances=1, seconds=2.0)
    result = trial(asked)
    found = result["policies"]["A"]
    assert found["score"]["value"] == 0.0
    assert found["kicks_missed_seeds"] == found["failed_seeds"] == [0, 1]
    assert [row[5] for row in result["table"][:2]] == ["kick missed", "2"]
    summary = json.loads(
        (tmp_path / "campaign" / "trials" / "00000-A" / "summary.json").read_text()
    )
    assert summary["trial"]["kicks_missed"] == 1 and not summary["trial"]["balanced"]


def test_a_killed_campaign_goes_on_where_it_stopped(easy: Path, tmp_path: Path) -> None:
    out = tmp_path / "campaign"
    asked = command(out, policy=easy)
    words = ["--policy", str(easy), "--rig", str(EASY_RIG), "--clock", "lockstep", "--seconds", "8"]
    words += ["--swing-up-limit-s", "5", "--disturbances", "0", "--repeat", "3", "--out", str(out)]
    words += ["--link-timeout-ticks", "10"]
    child = subprocess.Popen([sys.executable, "-m", "sparsectl", "trial", *words], cwd=ROOT)
    first = out / "trials" / "00000-A" / "outcome.json"
    for _ in range(6000):
        if first.exists() or child.poll() is not None:
            break
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    written_ns, outcome = first.stat().st_mtime_ns, first.read_bytes()
    result = trial(asked)
    assert result["policies"]["A"]["trials"] == 3
    assert (first.stat().st_mtime_ns, first.read_bytes()) == (written_ns, outcome)
    again = trial(asked)
    assert again["policies"] == result["policies"]


def test_a_trial_that_the_host_spoiled_is_run_again(still: Path, tmp_path: Path) -> None:
    """Suspended for longer than its board waits: that is no failure of the policy's."""
    out = tmp_path / "campaign"
    words = ["--policy", str(still), "--rig", str(EASY_RIG), "--seconds", "1", "--repeat", "2"]
    words += ["--swing-up-limit-s", "4", "--disturbances", "0", "--link-timeout-ticks", "10"]
    child = subprocess.Popen(
        [sys.executable, "-m", "sparsectl", "trial", *words, "--out", str(out), "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = out / "trials" / "00000-A" / "journal.bin"
    for _ in range(6000):
        if child.poll() is not None or journal.is_file() and assess(read_journal(journal)).ticks:
            break
        time.sleep(0.01)
    child.send_signal(signal.SIGSTOP)
    time.sleep(1.0)
    child.send_signal(signal.SIGCONT)
    printed, told = child.communicate(timeout=300)
    again = f"the trial of seed 0 with {still} ended by no fault of the policy; it is not counted"
    assert f"{again}, and is run again" in told
    outcomes = [read_json(path) for path in sorted(out.glob("trials/*/outcome.json"))]
    assert [outcome["ended"] for outcome in outcomes] == ["the pole was not up within 4 s"] * 2
    assert json.loads(printed)["policies"]["A"]["trials"] == 2


@pytest.mark.parametrize(
    ("fault", "changes", "spoiled"),
    [
        ("LINK_LOST", {}, True),
        ("COMMAND_LATE", {"mode": "host"}, True),
        ("LINK_LOST", {"port": "/dev/ttyACM0"}, True),
        ("OVERRUN", {}, True),
        ("OVERRUN", {"port": "/dev/ttyACM0"}, False),  # the board's own ticks came late
        ("BASE_TRAVEL", {}, False),
        ("NONE", {}, False),
        ("LINK_LOST", {"fault": "cable_pull@3"}, False),
        ("COMMAND_LATE", {"mode": "host", "clock": "lockstep"}, False),
    ],
)
def test_what_the_host_alone_can_cause(fault: str, changes: dict[str, Any], spoiled: bool) -> None:
    assert is_hosts(TrialConfig(Path("policy"), **changes), {"fault": fault}) == spoiled


def test_other_settings_are_another_campaign(still: Path, tmp_path: Path) -> None:
    out = tmp_path / "campaign"
    trial(command(out, policy=still, repeat=2, swing_up_limit_s=0.2))
    with pytest.raises(UserError, match="campaign with seconds 8.0, now 4.0; name another"):
        trial(command(out, policy=still, repeat=2, swing_up_limit_s=0.2, seconds=4.0))
    longer = trial(command(out, policy=still, repeat=3, swing_up_limit_s=0.2))
    assert longer["policies"]["A"]["trials"] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repeat": 0}, "--repeat is 0; give 1 to"),
        ({"repeat": 1, "compare": (Path("a"), Path("b"))}, "give --repeat 100"),
        ({"margin": 0.0}, "--margin is 0.0"),
        ({"margin": float("inf"), "repeat": 1, "compare": None}, "--margin is inf"),
        ({"margin": float("nan"), "repeat": 1, "compare": None}, "--margin is nan"),
        ({"live": True}, "--live shows one trial"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        trial(command(tmp_path / "campaign", policy=Path("nowhere"), **changes))
    assert not (tmp_path / "campaign").exists()


def test_one_is_an_ordinary_trial(still: Path, tmp_path: Path) -> None:
    one = command(tmp_path / "a", policy=still, repeat=1, swing_up_limit_s=0.2, report=False)
    result = trial(one)
    assert result.keys() == run_trial(one.one(out=tmp_path / "b")).keys()
