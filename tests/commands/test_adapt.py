"""`adapt`: journals of failed trials narrow a rig, the policy learns it, and what is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from sparsectl import cli
from sparsectl.command_line.config import AdaptConfig
from sparsectl.commands import adapt as command
from sparsectl.commands.adapt import LEARNING, STUDENT, adapt
from sparsectl.commands.any_rig import narrowing
from sparsectl.commands.any_rig.narrowing import bounded, narrowed
from sparsectl.commands.trial import trial
from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.hil.journal.journal import SIGNATURE
from sparsectl.plants.bare_rig import whole_rig
from sparsectl.plants.drawing import (
    draw_rig,
    draw_table,
    families,
    figures_of,
    load_ranges,
    rig_text,
)
from sparsectl.plants.rig import Rig, load_rig
from sparsectl.policy.load import load
from sparsectl.training.any_rig.deploy import read_any, student_path, write_any, write_for_rig
from sparsectl.training.any_rig.distill import CHECKPOINT, CURVE
from tests.hil.policies import export_graph, timid_graph

NUMBER = 400_000_038
"""A cart-pole with a strong motor and a long pole, drawn from the ranges; seed of nothing else."""

BARE = """
period_s = {0.period_s}
[base]
unit_per_count = {0.base.unit_per_count}
limit = {0.base.limit}
[pole]
counts_per_turn = {0.pole.counts_per_turn}
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with true/mine.toml, mine.toml without masses and the journal of a trial."""
    folder = tmp_path_factory.mktemp("failed")
    (folder / "true").mkdir()
    true = folder / "true" / "mine.toml"
    true.write_text(rig_text(draw_table("cartpole", NUMBER)), encoding="utf-8")
    (folder / "mine.toml").write_text(BARE.format(draw_rig("cartpole", NUMBER)), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        trial(_trial(Path("any-cartpole"), out=folder / "trial", seconds=3.0))
    return folder


def _trial(policy: Path, **changes: Any) -> TrialCommand:
    asked = TrialCommand(
        policy=policy,
        rig="true/mine.toml",
        clock="lockstep",
        seconds=5.0,
        disturbances=0,
        swing_up_limit_s=10.0,
        report=False,
    )
    return replace(asked, **changes)


def _asked(failed: Path, **changes: Any) -> AdaptConfig:
    config = AdaptConfig(
        (failed / "trial" / "journal.bin",),
        str(failed / "mine.toml"),
        out=failed / "adapted",
        rounds=3,
        rigs=10,
    )
    return replace(config, **changes)


def test_a_rig_is_learnt_from_its_journal_and_a_killed_run_goes_on(
    failed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _asked(failed)
    words = ["adapt", str(config.journals[0]), "--rig", config.rig, "--out", str(config.out)]
    words += ["--rounds", str(config.rounds), "--rigs", str(config.rigs)]
    checkpoint = config.out / LEARNING / CHECKPOINT
    with subprocess.Popen([sys.executable, "-m", "sparsectl", *words]) as child:
        try:
            while not checkpoint.is_file():  # however long that takes on a busy machine
                assert child.poll() is None
                time.sleep(0.01)
        finally:
            child.send_signal(signal.SIGKILL)
    assert not (config.out / STUDENT).exists()
    found = config.out / "mine.toml"
    identified = found.stat().st_mtime_ns

    result = adapt(config)

    assert found.stat().st_mtime_ns == identified  # the journal was not fitted again
    curve = (config.out / LEARNING / CURVE).read_text(encoding="utf-8").splitlines()
    rounds = [json.loads(line)["round"] for line in curve]
    assert rounds[0] == 0 and rounds[-1] == 2 and rounds.count(0) == 1
    true, its = draw_rig("cartpole", NUMBER), load_rig(found)
    assert its.base.unit_per_count == true.base.unit_per_count  # as in its own file
    assert figures_of(its).push == pytest.approx(figures_of(true).push, rel=0.05)
    assert figures_of(its).length_m == pytest.approx(figures_of(true).length_m, rel=0.01)
    assert result["after_share"]["share"] >= 0.9
    graph = load(Path(result["student"]))
    assert graph.state_size == 22 and graph.rig == "mine"

    monkeypatch.chdir(failed)
    ended = trial(_trial(Path(result["student"]), out=failed / "after"))
    assert ended["balanced"] and ended["ended"] == "completed"

    with pytest.raises(UserError, match="holds an adaptation of other journals"):
        adapt(replace(config, seed=1))


@pytest.mark.parametrize("family", families())
def test_an_adapted_student_is_adapted_again_from_what_is_not_folded(
    family: str, tmp_path: Path
) -> None:
    learnt = read_any(student_path(family))
    write_for_rig(tmp_path / STUDENT, learnt, draw_rig(family, NUMBER), {})
    with pytest.raises(UserError, match="is no student for any rig"):
        command._begun(tmp_path / STUDENT)
    write_any(tmp_path / command.AGAIN, learnt, {"family": family})
    begun, its = command._begun(tmp_path / STUDENT)
    assert its == family
    assert (read_any(begun).weight_ih == learnt.weight_ih).all()


@pytest.mark.parametrize("metadata", [{}, {"family": "acrobot"}])
def test_a_student_of_no_known_family_is_not_adapted(
    metadata: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "x.safetensors"
    write_any(path, read_any(student_path("furuta")), metadata)
    with pytest.raises(UserError, match="does not say for which rigs it was distilled"):
        command._begun(path)


def test_a_journal_of_a_rig_with_other_masses_is_warned_of(
    failed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts and period are the same; what the file says was weighed is not."""
    journal, table = failed / "trial" / "journal.bin", draw_table("cartpole", NUMBER)
    ranges = load_ranges("cartpole")
    for factor, length_m in ((1.0, None), (1.5, table["pole"]["length_m"])):
        table["pole"]["length_m"] *= factor
        path = tmp_path / f"mine{factor}.toml"
        path.write_text(rig_text(table), encoding="utf-8")
        whole = whole_rig(path, ranges)
        narrowed([journal], whole.rig, whole.guessed)
        said = capsys.readouterr().err
        assert ("pole.length_m of" in said) == (length_m is not None), said
    assert "If so, correct its file" in said


def test_what_cannot_be_learnt_from_is_refused_in_a_line_and_leaves_nothing(
    failed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = failed / "trial" / "journal.bin"
    short = tmp_path / "short.bin"
    short.write_bytes(journal.read_bytes()[:9_000])
    none = tmp_path / "none.bin"
    none.write_bytes(b"no journal at all")
    other = tmp_path / "other.toml"
    other.write_text((failed / "mine.toml").read_text().replace("0.01", "0.02"), encoding="utf-8")
    stateless = export_graph(timid_graph(), tmp_path / "stateless")
    mine, out = str(failed / "mine.toml"), tmp_path / "out"
    before = sorted(tmp_path.rglob("*"))
    for words, said in (
        ([str(none), "--rig", mine], "is not a sparsectl journal"),
        ([str(tmp_path / "missing.bin"), "--rig", mine], "missing.bin: No such file"),
        ([str(short), "--rig", mine], "the rig moves in 0 stretches of 25 ticks of"),
        ([str(journal), "--rig", str(other)], "is of another rig (mine): period_us is 10000"),
        ([str(journal), "--rig", "qube_servo2"], "drives 'linear.xml' alone; give any-furuta"),
        (
            [str(journal), "--rig", mine, "--policy", "any-furuta"],
            "[base] length_m is missing",
        ),
        (
            [str(journal), "--rig", mine, "--policy", str(stateless)],
            "is not a policy for any rig",
        ),
        ([str(journal), "--rig", mine, "--rounds", "0"], "rounds is 0"),
    ):
        assert cli.run(["adapt", *words, "--out", str(out)]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert lines[-1].startswith("sparsectl adapt: ") and said in lines[-1]
        assert sorted(tmp_path.rglob("*")) == before


def test_a_journal_of_a_rig_that_does_not_move_tells_nothing(failed: Path) -> None:
    out = failed / "still"
    result = trial(
        _trial(
            export_graph(timid_graph(), failed / "timid"),
            rig=None,
            out=failed / "timid_trial",
            swing_up_limit_s=2.0,
        )
    )
    assert not result["balanced"]
    config = _asked(
        failed,
        journals=(failed / "timid_trial" / "journal.bin",),
        rig="sensorsini_cartpole",
        out=out,
    )
    with pytest.raises(UserError, match="12 are needed"):
        adapt(config)
    assert not out.exists()


def test_ranges_wider_than_any_rig_is_unsure_are_cut(failed: Path) -> None:
    rig = draw_rig("cartpole", NUMBER)
    wide = replace(rig.randomisation, base_mass_factor=(-3.0, 9.0), rest_angle_bias_rad=(-0.1, 0.1))
    cut = bounded(replace(rig, randomisation=wide)).randomisation
    assert cut.base_mass_factor == (0.5, 2.0) and cut.rest_angle_bias_rad == (-0.1, 0.1)


def test_numbers_that_still_change_are_taken_if_they_explain_the_journals(
    failed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    warn.cache_clear()
    whole = whole_rig(failed / "mine.toml", load_ranges("cartpole"))
    journals = [failed / "trial" / "journal.bin"]
    settled = narrowed(journals, whole.rig, whole.guessed)
    assert "still change" not in capsys.readouterr().err
    unsettled = replace(narrowing.fit(*_given(journals, whole.rig)), converged=False)
    monkeypatch.setattr(narrowing, "fit", lambda *_: unsettled)
    assert narrowed(journals, whole.rig, whole.guessed) == settled
    said = capsys.readouterr().err
    assert f"after {unsettled.iterations} iterations the numbers of mine still change" in said
    poor = replace(unsettled, residual_counts=(0.3, 5.0))
    monkeypatch.setattr(narrowing, "fit", lambda *_: poor)
    with pytest.raises(UserError, match="fit no rig near mine's file .residual 5.0 counts"):
        narrowed(journals, whole.rig, whole.guessed)
    lost = replace(unsettled, residual_counts=(0.3, 519.0), converged=True)
    monkeypatch.setattr(narrowing, "fit", lambda *_: lost)
    with pytest.raises(UserError, match="fit no rig near mine's file .residual 519.0 counts"):
        narrowed(journals, whole.rig, whole.guessed)


def test_a_torn_journal_is_learnt_from_as_far_as_it_is_whole(
    failed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warn.cache_clear()
    rig = whole_rig(failed / "mine.toml", load_ranges("cartpole")).rig
    content = (failed / "trial" / "journal.bin").read_bytes()
    torn = tmp_path / "torn.bin"
    torn.write_bytes(content[: len(content) // 2])
    assert narrowing._windows(torn, rig)
    said = capsys.readouterr().err
    assert (
        "torn.bin is torn: its last " in said and "bytes, from the first damaged record on" in said
    )
    narrowing._windows(failed / "trial" / "journal.bin", rig)
    assert capsys.readouterr().err == ""


def _given(journals: list[Path], rig: Rig) -> tuple[Any, Any, Any]:
    """What `narrowed` gives to the fit."""
    windows = [window for path in journals for window in narrowing._windows(path, rig)]
    stride = -(-len(windows) // narrowing.MOST_WINDOWS)
    return windows[::stride], narrowing.start(rig), lambda *_: None


@pytest.mark.parametrize("family", ["cartpole", "furuta"])
def test_a_rig_outside_of_what_was_learnt_is_named_with_its_number(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> str:
        raise UserError("the journals are not looked at")

    warn.cache_clear()
    monkeypatch.setattr(command, "narrowed", refuse)
    table = draw_table(family, NUMBER)
    table["base"]["limit"] = 5.0
    (tmp_path / "mine.toml").write_text(rig_text(table), encoding="utf-8")
    journal = tmp_path / "journal.bin"
    journal.write_bytes(SIGNATURE)
    config = AdaptConfig(
        (journal,), str(tmp_path / "mine.toml"), tmp_path / "out", policy=Path(f"any-{family}")
    )
    with pytest.raises(UserError, match="not looked at"):
        adapt(config)
    said = capsys.readouterr().err
    assert "rig mine: [base] limit is 5, outside of" in said
    assert f"any-{family} was trained only within that range" in said


def test_ctrl_c_before_the_journals_have_told_leaves_nothing(
    failed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "narrowed", interrupted)
    out = failed / "interrupted"
    with pytest.raises(KeyboardInterrupt):
        adapt(_asked(failed, out=out))
    assert not out.exists()
