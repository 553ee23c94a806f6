"""`trial` and `build` of the policies for any pendulum: bare rig files, C firmware, refusals."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from sparsectl import cli
from sparsectl.commands.any_rig import policies
from sparsectl.commands.any_rig.fixed_point import (
    ENCODING,
    in_fixed_point,
    units_of,
    write_calibration,
)
from sparsectl.commands.build import build
from sparsectl.commands.trial import trial
from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json
from sparsectl.common.signal_ranges import Pair
from sparsectl.common.warning import warn
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.firmware_host.boards import BOARDS
from sparsectl.firmware_host.build import SUMMARY
from sparsectl.firmware_host.config import BuildConfig
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.plants.drawing import families
from sparsectl.plants.rig import load_rig
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.training.any_rig.deploy import policy_for, read_any, student_path
from tests.plants.test_bare_rig import BARE, BARE_ARM, OF_AN_ARM, bare
from tests.tools import need

PAGE = Path(__file__).parent.parent.parent / "docs" / "rigs.md"
ANY, ANY_ARM = Path("any-cartpole"), Path("any-furuta")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in; what was warned of before is warned of again."""
    warn.cache_clear()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bare_of(policy: Path, folder: Path) -> Path:
    """A bare file of a rig that a policy is for."""
    return bare(folder) if policy == ANY else bare(folder, BARE_ARM, **OF_AN_ARM)


def test_each_family_that_is_drawn_has_its_policy() -> None:
    assert sorted(policies.FAMILIES.values()) == families()
    for name, family in policies.FAMILIES.items():
        assert name == f"any-{family}" and student_path(family).is_file()


@pytest.mark.parametrize("policy", [ANY, ANY_ARM], ids=str)
def test_a_bare_rig_file_swings_up_and_balances(
    policy: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare_of(policy, here)
    command = TrialCommand(
        policy=policy,
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
    folder = here / "runs" / f"{policy}-mine"
    assert load_rig(folder / "mine.toml").base.limit == (0.3 if policy == ANY else 2.0)
    graph = read_onnx(folder / "policy" / "policy.onnx")
    assert graph.state_size and graph.rig == "mine" and graph.period_s == 0.01
    before = (folder / "policy" / "policy.c").stat().st_mtime_ns
    built = build(BuildConfig(policy, rig="mine.toml"))
    assert (folder / "policy" / "policy.c").stat().st_mtime_ns == before  # it was there already
    assert built["board"] == "host" and (folder / "firmware" / SUMMARY).is_file()


ON_AN_UNO = {
    ANY: ("sensorsini_cartpole", (0.25, 3.0, 1.0, 1.0, 30.0)),
    ANY_ARM: ("qube_servo2", (2.4, 25.0, 1.0, 1.0, 30.0)),
}
"""The rig, and how far each signal goes to either side."""


@pytest.mark.parametrize("policy", ON_AN_UNO, ids=str)
def test_it_fits_an_uno_in_bytes_and_balances_there(policy: Path, here: Path) -> None:
    need("avr-gcc", "simavr")
    rig, ranges = ON_AN_UNO[policy]
    folder, _ = policies.for_rig(policy, rig)
    out = Path("uno")
    export_policy(
        ExportConfig(
            folder,
            out,
            encoding="dense-int8",
            range=tuple(Pair(-far, far) for far in ranges),
            error=0.5,
            vectors=8,
            observations=500,
        )
    )
    built = build(BuildConfig(out, board="arduino-uno", rig=rig))
    assert built["flash_bytes"] <= built["flash_limit"] and built["tick_share"] < 0.3
    command = TrialCommand(
        policy=out,
        rig=rig,
        board="arduino-uno",
        mode="pil",
        clock="fast",
        seconds=2.0,
        disturbances=0,
        out=Path("trial"),
        report=False,
    )
    assert trial(command)["balanced"]


def test_the_pages_commands_for_an_uno_do_what_it_says(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's file of an arm, in fixed point over as many ticks as the command measures."""
    need("avr-gcc", "simavr")
    text = PAGE.read_text(encoding="utf-8")
    arm = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[1]
    file = Path("my_arm.toml")
    file.write_text(arm.replace("length_m =", "rate_limit = 90.0\nlength_m ="), encoding="utf-8")
    policies.for_rig(ANY_ARM, str(file))  # as the trial before them does
    lines = re.findall(r"^    sparsectl ((?:export|build) .*runs/uno.*)$", text, re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["export", "build"]
    for line in lines:
        code = cli.run(shlex.split(line))
        assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("policy", "rig", "words"),
    [
        (ANY, None, "any-cartpole is for any rig; name yours with --rig"),
        (ANY, "qube_servo2", "drives 'linear.xml' alone; give any-furuta"),
        (ANY, "sensorsini_bang_bang", "lists [motor] duties to choose from"),
        (ANY, "no_such", "no rig no_such"),
        (ANY, "mine.toml", "[base] limit is missing"),
        (ANY_ARM, None, "any-furuta is for any rig; name yours with --rig"),
        (ANY_ARM, "sensorsini_cartpole", "drives 'rotary.xml' alone; give any-cartpole"),
        (ANY_ARM, "mine.toml", "[base] limit is missing; give the angle"),
    ],
)
def test_what_it_cannot_drive_is_refused_and_leaves_no_file(
    policy: Path, rig: str | None, words: str, here: Path
) -> None:
    bare(here, BARE.replace("limit = {limit}\n", ""))
    for run in (
        lambda: trial(TrialCommand(policy=policy, rig=rig)),
        lambda: trial(TrialCommand(compare=(policy, policy), repeat=2, rig=rig)),
        lambda: build(BuildConfig(policy, rig=rig)),
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


def test_an_arm_outside_the_ranges_is_named_before_it_is_driven(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "_write_policy", lambda *_: None)  # its file is not looked at
    bare(here, BARE_ARM, unit=0.01, limit=6.0, arm_m=0.4)
    policies.for_rig(ANY_ARM, "mine.toml")
    said = capsys.readouterr().err
    assert "[base] length_m is 0.4, outside of 0.08 to 0.22; any-furuta was trained" in said
    assert "[base] limit is 6, outside of 1.3 to 3.2" in said
    assert "[base] unit_per_count makes 628 counts a turn, outside of 2000 to 8192" in said


def test_the_shipped_arm_swings_up_and_balances(here: Path) -> None:
    result = trial(
        TrialCommand(
            policy=ANY_ARM,
            rig="qube_servo2",
            clock="lockstep",
            seconds=5.0,
            disturbances=0,
            out=Path("trial"),
            report=False,
        )
    )
    assert result["balanced"] and result["ended"] == "completed"


@pytest.mark.parametrize("policy", [ANY, ANY_ARM], ids=str)
def test_a_board_without_an_fpu_gets_it_in_fixed_point(policy: Path, here: Path) -> None:
    """Within what an export allows of what it meets there, and beside the one for other boards."""
    bare_of(policy, here)
    as_float, rig = policies.for_rig(policy, "mine.toml", "stm32f405")
    fixed, same = policies.for_rig(policy, "mine.toml", "arduino-mega2560")
    assert same == rig and fixed != as_float
    assert read_json(as_float / "policy.json")["encoding"]["kind"] == "float32"
    assert read_json(fixed / "policy.json")["encoding"]["name"] == ENCODING
    before = (fixed / "policy.c").stat().st_mtime_ns
    assert policies.for_rig(policy, "mine.toml", "microbit") == (fixed, rig)
    assert (fixed / "policy.c").stat().st_mtime_ns == before  # it was there already


@pytest.mark.parametrize(
    ("name", "family"), [("sensorsini_cartpole", "cartpole"), ("qube_servo2", "furuta")]
)
def test_a_calibration_holds_what_the_policy_meets_on_rigs_with_these_counts(
    name: str, family: str, tmp_path: Path
) -> None:
    rig = load_rig(name)
    units = units_of(rig, family)
    assert units_of(rig, None) == [rig] * len(units)
    assert rig in units and len(set(map(repr, units))) == len(units) // 2 + 1
    for each in units:
        assert each.base.unit_per_count == rig.base.unit_per_count
        assert each.pole.counts_per_turn == rig.pole.counts_per_turn
        assert (each.period_s, each.base.limit) == (rig.period_s, rig.base.limit)
    graph = policy_for(read_any(student_path(family)), rig)
    write_calibration(tmp_path / "met.npz", graph, units)
    met = np.load(tmp_path / "met.npz")
    assert met["terminations"].sum() == len(units)
    ends = np.flatnonzero(met["terminations"])
    begun = np.concatenate([[0], ends[:-1] + 1])
    # Each begins with the pole hanging and at rest, and most come up.
    assert (met["observations"][begun, 3] < -0.9).all()
    assert (met["observations"][begun][:, [1, 4]] == 0).all()
    assert (met["observations"][ends, 3] > 0.9).mean() > 0.5
    assert np.abs(met["observations"][:, 0]).max() <= rig.base.limit


def test_boards_with_an_fpu_compute_it_in_floats() -> None:
    floats = {name for name in BOARDS if not in_fixed_point(name)}
    assert floats == {"host", "stm32f405", "nucleo-f446re", "mps2-an386"}
    with pytest.raises(UserError, match="no board 'abacus'; known: host"):
        in_fixed_point("abacus")


@pytest.mark.parametrize("port", ["virtual", "emulated:arduino-mega2560"])
def test_it_balances_on_an_8_bit_core_within_its_ticks(port: str, here: Path) -> None:
    """As floats it would take 54 ms of each tick of 20 ms, and the watchdog would end the trial."""
    need("avr-gcc", "simavr")
    result = trial(
        TrialCommand(
            policy=ANY_ARM,
            rig="qube_servo2",
            port=port,
            board="arduino-mega2560" if port == "virtual" else "host",
            mode="pil",
            clock="fast",
            seconds=2.0,
            disturbances=0,
            out=Path("trial"),
            report=False,
        )
    )
    assert result["balanced"] and result["ended"] == "completed"
    assert result["deadline_misses"] == 0


def test_a_folder_of_that_name_comes_first(here: Path) -> None:
    ANY.mkdir()
    assert policies.for_rig(ANY, None) == (ANY, None)
    assert policies.for_rig(Path("policy"), "some_rig") == (Path("policy"), "some_rig")
