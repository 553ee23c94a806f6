from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.journal.journal import Journal, JournalWriter, Kind, Record, read_journal
from sparsectl.hil.replay.config import ReplayConfig
from sparsectl.hil.replay.engine import Engine, build_engine
from sparsectl.hil.replay.player import Player
from sparsectl.hil.replay.replay import play, replay
from sparsectl.hil.replay.script import Sampling, read_script
from sparsectl.hil.trial.trial import run_trial
from sparsectl.plants.rig import load_rig
from sparsectl.policy.graph import Layer, PolicyGraph
from sparsectl.policy.passes import fold_normaliser
from sparsectl.policy.signals import parse_signals
from sparsectl.protocol.wire import Fault, Frame, decode, encode
from tests.hil.policies import EASY_RIG, export_graph, timid_graph

Edit = Callable[[Record], Record | None]

pytestmark = pytest.mark.usefixtures("cached_compilers")


@pytest.fixture(scope="module")
def trial_in(easy: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a trial in this mode: a swing-up, a kick, a balance; made once."""

    @cache
    def trial_in(mode: str) -> Path:
        return run(easy, tmp_path_factory.mktemp("replay") / "trial", mode=mode)

    return trial_in


@pytest.fixture(params=["device", "host", "pil"])
def trial(request: pytest.FixtureRequest, trial_in: Callable[[str], Path]) -> Path:
    return trial_in(request.param)


def run(policy: Path, out: Path, **changes: object) -> Path:
    fields: dict[str, object] = {"clock": "lockstep", "rig": str(EASY_RIG), "seconds": 2.5}
    fields["firmware"] = policy.parent / "firmware"  # built once
    run_trial(TrialConfig(policy, out=out, report=False, **{**fields, **changes}))  # type: ignore[arg-type]
    return out


def edited(trial: Path, folder: Path, edit: Edit) -> Path:
    """A copy of the trial's journal with each record as `edit` gives it."""
    journal = read_journal(trial / "journal.bin")
    with JournalWriter(folder / "journal.bin", journal.header_json) as writer:
        for record in journal.records:
            if (kept := edit(record)) is not None:
                writer.write(kept.kind, kept.payload, kept.host_ns)
    return folder


def frames(journal: Journal, name: str) -> list[int]:
    """The ticks of all frames of that name."""
    decoded = (decode(record.payload) for record in journal.records if record.kind <= 1)
    return [frame["tick"] for frame in decoded if frame is not None and frame.name == name]


def reported(trial: Path) -> tuple[str, list[int]]:
    """The message that tells of a tick in this trial, and its ticks."""
    journal = read_journal(trial / "journal.bin")
    name = "PLANT_ACT" if journal.header.is_pil else "TICK"
    return name, frames(journal, name)


def test_all_ticks_of_a_trial_agree(trial: Path) -> None:
    result = replay(ReplayConfig(trial))
    assert result["agrees"] and result["first_difference"] is None, result
    assert result["verdict"] == f"all {result['ticks']} ticks agree"
    _, ticks = reported(trial)
    assert result["ticks"] + result["ticks_before_home"] == len(ticks)
    assert result["ticks"] > 150 and result["lost_ticks"] == 0


def test_a_tick_that_was_changed_is_named(trial: Path, tmp_path: Path) -> None:
    name, ticks = reported(trial)
    wanted = ticks[-40]
    field = {"device": "policy_output", "host": "duty", "pil": "state"}[mode_of(trial)]

    def change(record: Record) -> Record:
        frame = decode(record.payload) if record.kind is Kind.FROM_DEVICE else None
        if frame is None or frame.name != name or frame["tick"] != wanted:
            return record
        value = 7 if field == "state" else frame[field] * (1 + 2e-7) + 1e-30
        content = encode(name, frame.sequence, to_host=True, **{**frame.values, field: value})
        return Record(record.kind, record.host_ns, content[1:-1])

    found = replay(ReplayConfig(edited(trial, tmp_path, change), trial_policy(trial)))
    first = found["first_difference"]
    assert (first["tick"], first["field"]) == (wanted, field)
    assert f"tick {wanted}: {field}" in found["verdict"]


def mode_of(trial: Path) -> str:
    return read_journal(trial / "journal.bin").header.config.mode


def trial_policy(trial: Path) -> Path:
    return read_journal(trial / "journal.bin").header.config.policy


def test_a_kick_that_was_left_out_is_found(trial: Path, tmp_path: Path) -> None:
    def leave_out(record: Record) -> Record | None:
        frame = decode(record.payload) if record.kind is Kind.TO_DEVICE else None
        return None if frame is not None and frame.name == "DISTURB" else record

    found = replay(ReplayConfig(edited(trial, tmp_path, leave_out)))
    assert not found["agrees"] and found["first_difference"]["field"] == "duty"
    assert found["ticks"] > 50


def test_a_command_that_was_changed_is_named(easy: Path, tmp_path: Path) -> None:
    trial = run(easy, tmp_path / "trial", mode="host", seconds=1.0)
    wanted = frames(read_journal(trial / "journal.bin"), "COMMAND")[100]

    def change(record: Record) -> Record:
        frame = decode(record.payload) if record.kind <= Kind.TO_DEVICE else None
        if frame is None or frame.values.get("tick") != wanted:
            return record
        values = dict(frame.values)
        for name in {"output", "policy_output", "duty"} & values.keys():
            values[name] = 0.123
        content = encode(frame.name, frame.sequence, to_host=frame.to_host, **values)
        return Record(record.kind, record.host_ns, content[1:-1])

    found = replay(ReplayConfig(edited(trial, tmp_path / "changed", change), easy))
    assert found["first_difference"]["tick"] == wanted
    assert found["first_difference"]["field"] == "COMMAND's output"


def test_ticks_whose_frames_were_lost_are_played_but_not_judged(
    trial_in: Callable[[str], Path], tmp_path: Path
) -> None:
    trial = trial_in("device")
    _, ticks = reported(trial)
    gone = {ticks[-100], ticks[-60], ticks[-59]}

    def lose(record: Record) -> Record | None:
        frame = decode(record.payload) if record.kind is Kind.FROM_DEVICE else None
        return None if frame and frame.name == "TICK" and frame["tick"] in gone else record

    found = replay(ReplayConfig(edited(trial, tmp_path / "lossy", lose)))
    assert found["lost_ticks"] == 3
    assert found["first_difference"] is None, found


def test_no_frame_that_the_line_loses_is_called_a_difference(trial: Path, tmp_path: Path) -> None:
    """Each kind of answer, and some of each kind of tick, one at a time: a stolen byte in it leaves
    garbage in its place. Answers are filled in; the first ticks of homing cannot be."""
    journal = read_journal(trial / "journal.bin")
    rig = journal.header.rig_constants
    program = build_engine(trial_policy(trial), rig, tmp_path / "engine")
    seen: Counter[tuple[str, int]] = Counter()
    for index, record in enumerate(journal.records):
        frame = decode(record.payload) if record.kind is Kind.FROM_DEVICE else None
        if frame is None or frame.name == "BENCH":
            continue
        kind = frame.name, int(frame.values.get("echo_type", 0))
        seen[kind] += 1
        if seen[kind] > 2 and seen[kind] % 67:
            continue
        records = list(journal.records)
        records[index] = Record(Kind.GARBAGE, record.host_ns, record.payload[:-1])
        with Engine(program) as engine:
            player = Player(engine, journal.header.parsed_signals.frames)
            difference = play(Journal(journal.header_json, records, 0), player)
        is_tick = frame.name in ("TICK", "OBSERVATION", "PLANT_ACT")
        assert difference is None or (is_tick and player.is_clouded), (kind, difference)
    assert len(seen) > 6


def test_a_loss_that_nobody_can_fill_in_is_not_the_policys(
    trial_in: Callable[[str], Path], tmp_path: Path
) -> None:
    """The kick, and that it was heard, are both gone."""
    trial = trial_in("device")
    kicked: list[int] = []

    def lose(record: Record) -> Record | None:
        frame = decode(record.payload) if record.kind <= Kind.TO_DEVICE else None
        if frame is not None and frame.name == "DISTURB":
            kicked.append(frame.sequence)
            return None
        is_answer = frame is not None and frame.name == "ACK"
        return None if is_answer and frame["echo_sequence"] in kicked else record  # type: ignore[index]

    found = replay(ReplayConfig(edited(trial, tmp_path / "lossy", lose)))
    assert kicked and found["agrees"] is None and found["losses"] == 1
    assert found["first_difference"]["field"] == "duty"
    assert "the line lost frames" in found["verdict"]
    assert "nothing about the policy" in found["verdict"]


def test_frames_that_come_twice_count_once(trial_in: Callable[[str], Path], tmp_path: Path) -> None:
    trial = trial_in("device")
    journal = read_journal(trial / "journal.bin")
    with JournalWriter(tmp_path / "doubled" / "journal.bin", journal.header_json) as writer:
        for record in journal.records:
            writer.write(record.kind, record.payload, record.host_ns)
            if record.kind is Kind.FROM_DEVICE:
                writer.write(record.kind, record.payload, record.host_ns)
    found = replay(ReplayConfig(tmp_path / "doubled"))
    assert found["agrees"] and found["losses"] == 0, found


@pytest.mark.parametrize("mode", ["device", "host"])
def test_a_realtime_journal_agrees(timid: Path, tmp_path: Path, mode: str) -> None:
    out = run(
        timid, tmp_path / "trial", mode=mode, clock="realtime", rig=None, swing_up_limit_s=1.0
    )
    found = replay(ReplayConfig(out))
    assert found["agrees"], found
    assert found["ticks"] > 10  # a second's, unless a busy machine ends it by COMMAND_LATE


class LateHost(Engine):
    """A board whose host sends the same output from a tick on, each time ticks too late; what goes
    over the line is recorded as the host sees it."""

    late_from, late_by = 100, 20

    def __init__(self, program: Path) -> None:
        super().__init__(program)
        self.records: list[Record] = []
        self._late: list[tuple[int, dict[str, Any]]] = []
        self._output = 0.0

    def tick(self, *words: Any) -> list[Frame]:
        found = self._from_board(super().tick(*words))
        now = max((frame.values.get("tick", 0) for frame in found), default=0)
        while self._late and self._late[0][1]["tick"] + self.late_by <= now:
            place, values = self._late.pop(0)
            self.records[place] = self._sent("COMMAND", values)
            found += self._from_board(super().hear("COMMAND", **values))
        return found

    def hear(self, name: str, **values: Any) -> list[Frame]:
        self.records.append(self._sent(name, values))
        if name == "COMMAND" and values["tick"] >= self.late_from:
            self._late.append((len(self.records) - 1, {**values, "output": self._output}))
            return []
        self._output = values.get("output", self._output)
        return self._from_board(super().hear(name, **values))

    def _sent(self, name: str, values: dict[str, Any]) -> Record:
        return Record(Kind.TO_DEVICE, 0, encode(name, self._sequence, **values)[1:-1])

    def _from_board(self, found: list[Frame]) -> list[Frame]:
        for frame in found:
            content = encode(frame.name, frame.sequence, to_host=True, **frame.values)
            self.records.append(Record(Kind.FROM_DEVICE, 0, content[1:-1]))
        return found


def test_a_command_that_came_late_was_not_heard_in_its_tick(timid: Path, tmp_path: Path) -> None:
    """Though the tick tells of the same output: the one that the board still held."""
    trial = run(timid, tmp_path / "trial", mode="host", rig=None)
    journal = read_journal(trial / "journal.bin")
    program = build_engine(timid, journal.header.rig_constants, tmp_path / "engine")
    frames_of_history = journal.header.parsed_signals.frames
    with LateHost(program) as board:
        player = Player(board, frames_of_history)
        for action in read_script(journal):
            if isinstance(action, Sampling) and action.tick > board.late_from + 60:
                break  # before DISARM, which must not overtake what is late
            player.play(action)
    late = Journal(journal.header_json, board.records, 0)
    faults = [decode(record.payload) for record in board.records]
    assert any(f is not None and f.values.get("fault") == Fault.COMMAND_LATE for f in faults)
    with Engine(program) as engine:
        player = Player(engine, frames_of_history)
        difference = play(late, player)
    assert difference is None
    assert len(player.compared) > 50 and not player.losses


def test_a_torn_journal_agrees_as_far_as_it_goes(trial: Path, tmp_path: Path) -> None:
    content = (trial / "journal.bin").read_bytes()
    half = len(content) // 2
    (tmp_path / "journal.bin").write_bytes(content[:half])
    if not read_journal(tmp_path / "journal.bin").dropped_bytes:  # just between two records
        (tmp_path / "journal.bin").write_bytes(content[: half + 1])
    found = replay(ReplayConfig(tmp_path))
    assert found["agrees"] and found["dropped_bytes"] > 0 and found["ticks"] > 50


def test_a_journal_that_ends_before_homing_says_so(trial: Path, tmp_path: Path) -> None:
    journal = read_journal(trial / "journal.bin")
    with JournalWriter(tmp_path / "journal.bin", journal.header_json):
        pass
    found = replay(ReplayConfig(tmp_path))
    assert found["verdict"] == "no tick to compare: the journal ends before the board was homed"


def test_another_policy_is_refused(trial: Path, timid: Path) -> None:
    with pytest.raises(UserError, match="the journal is of policy .*, .* holds .*; name the"):
        replay(ReplayConfig(trial, timid))


def test_a_policy_that_is_gone_gets_one_line(tmp_path: Path) -> None:
    policy = export_graph(timid_graph(3), tmp_path / "policies")
    out = run(policy, tmp_path / "trials" / "one", rig=None, swing_up_limit_s=0.5)
    policy.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="name its folder with --policy") as caught:
        replay(ReplayConfig(out))
    assert "\n" not in str(caught.value)
    assert replay(ReplayConfig(out, tmp_path / "elsewhere"))["agrees"]


def reversing_arm(folder: Path) -> Path:
    """A policy that sends the arm of the QUBE to and fro, as hard as it can."""
    rig = load_rig("qube_servo2")
    signals = parse_signals(rig.signals(), rig.name)
    weight = np.zeros((1, 5 * rig.frames), np.float32)
    weight[0, -5] = -30.0  # the newest position
    graph = PolicyGraph(
        layers=(Layer(weight, np.full(1, 0.5, np.float32), "tanh"),),
        observation=signals.observation,
        action=signals.action,
        frames=rig.frames,
        period_s=rig.period_s,
        rig=rig.name,
    )
    return export_graph(fold_normaliser(graph), folder)


@pytest.fixture(scope="module")
def reversed_trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial of an arm that the board stopped for its reversed motor."""
    folder = tmp_path_factory.mktemp("arm")
    fault = "reversed_motor@0.3"
    return run(reversing_arm(folder / "arm"), folder / "trial", rig=None, fault=fault)


def test_the_replay_allows_for_the_same_pole_as_the_board(reversed_trial: Path) -> None:
    assert "REVERSED_BASE" in (reversed_trial / "summary.json").read_text()
    header = read_journal(reversed_trial / "journal.bin").header
    assert header.rig_constants == load_rig("qube_servo2").firmware_constants()
    found = replay(ReplayConfig(reversed_trial))
    assert found["agrees"], found["verdict"]


def test_a_board_with_other_checks_is_no_other_policy(reversed_trial: Path, tmp_path: Path) -> None:
    """A board of another version accepted its CONFIG, and may have stopped by other rules."""
    journal = read_journal(reversed_trial / "journal.bin")
    header = json.loads(json.dumps(journal.header_json))
    # Such a pole excuses any motion of the base.
    header["rig_constants"]["pole_pull"] |= {"pull": 1e6, "fall": 1e6}
    with JournalWriter(tmp_path / "journal.bin", header) as writer:
        for record in journal.records:
            writer.write(record.kind, record.payload, record.host_ns)
    found = replay(ReplayConfig(tmp_path, trial_policy(reversed_trial)))
    assert found["first_difference"]["field"] == "state" and found["agrees"] is None
    assert "the board's safety checks had other constants" in found["verdict"]
    assert found["ticks"] > 20
