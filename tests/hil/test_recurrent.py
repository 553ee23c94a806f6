"""A recurrent policy from end to end: board, host and processor in the loop agree in every bit, its
state is reset where the journal's rule says so, and a replay repeats it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sparsectl.hil.analysis.results import active_part, assess
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.drives.host_drives import Commander
from sparsectl.hil.journal.journal import Journal, Kind, Record, read_journal
from sparsectl.hil.journal.state_resets import state_resets
from sparsectl.hil.journal.trace import read_samples, read_trace
from sparsectl.hil.ports import virtual
from sparsectl.hil.replay.config import ReplayConfig
from sparsectl.hil.replay.engine import Engine, build_engine
from sparsectl.hil.replay.player import Difference, Player
from sparsectl.hil.replay.replay import play, replay
from sparsectl.hil.report.report import recurrent_line
from sparsectl.hil.simulation.virtual_rig import VirtualRig
from sparsectl.hil.trial.trial import run_trial
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.protocol.wire import State, decode, encode
from tests.firmware_host.core_library import Core
from tests.hil.policies import export_graph, remembering_graph
from tests.tools import need

Played = tuple[Difference | None, int, int]
PERIOD_US = 20_000
STALL = ("--fault", "stall", "--stall-us", str(2 * PERIOD_US), "--fault-at-us", "1200000")
"""A tick that takes two periods: the next one is skipped."""


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an exported policy with a GRU of four units."""
    return export_graph(remembering_graph(), tmp_path_factory.mktemp("remembering") / "policies")


class StallingRig(VirtualRig):
    """The virtual rig with a firmware that stalls once."""

    def __init__(self, firmware: Path, *arguments: object) -> None:
        script = firmware.parent / "stalling"
        script.write_text(f'#!/bin/sh\nexec {firmware} "$@" {" ".join(STALL)}\n')
        script.chmod(0o755)
        super().__init__(script, *arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trials(remembering: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A trial's folder for each mode, in lockstep; the board stalls where it has a clock."""
    folder = tmp_path_factory.mktemp("trials")
    with pytest.MonkeyPatch.context() as patch:
        for mode in ("pil", "device", "host"):
            if mode != "pil":
                patch.setattr(virtual, "VirtualRig", StallingRig)
            config = TrialConfig(
                policy=remembering,
                mode=mode,  # type: ignore[arg-type]
                clock="lockstep",
                seconds=1.0,
                swing_up_limit_s=1.5,
                disturbances=0,
                link_timeout_ticks=2,  # a tick a STEP: all are armed at the same tick
                firmware=folder / "firmware",
                out=folder / mode,
                report=False,
            )
            assert run_trial(config)["fault"] == "NONE"
    return {mode: folder / mode for mode in ("pil", "device", "host")}


def journal_of(folder: Path) -> Journal:
    return read_journal(folder / "journal.bin")


def test_all_modes_agree_in_every_bit(trials: dict[str, Path]) -> None:
    active = {mode: active_part(read_trace(journal_of(out))) for mode, out in trials.items()}
    device, host, pil = (active[mode] for mode in ("device", "host", "pil"))
    skip = int(np.flatnonzero(np.diff(device.tick) > 1)[0]) + 1
    assert device.tick[skip] == device.tick[skip - 1] + 2 and skip > 30 and len(device) - skip > 30
    for column in ("tick", "base_position", "pole_angle_rad", "duty", "policy_output"):
        theirs = getattr(device, column)
        assert np.array_equal(theirs, getattr(host, column)), column
        if column != "tick":
            assert np.array_equal(theirs[:skip], getattr(pil, column)[:skip]), column
    assert len(np.unique(device.policy_output)) > 0.9 * len(device)
    assert np.abs(device.duty).max() > 0.01


@pytest.fixture(scope="module")
def core(trials: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Core:
    """The board's own code, for its observations."""
    return Core(tmp_path_factory.mktemp("core"), journal_of(trials["pil"]).header.rig_constants)


@pytest.mark.parametrize("mode", ["pil", "device", "host"])
def test_the_journal_tells_every_reset(
    trials: dict[str, Path], remembering: Path, core: Core, mode: str
) -> None:
    """The reference, reset where the journal's rule says, gives every action of the trial."""
    journal = journal_of(trials[mode])
    resets = state_resets(journal)
    assert [each.why for each in resets] == ["took over the motor", "1 tick missing"][
        : 1 if mode == "pil" else 2
    ]
    assert journal.header.state_size == 4
    reported = assess(journal).recurrent
    assert reported is not None and reported["state_size"] == 4
    assert [each["tick"] for each in reported["resets"]] == [each.tick for each in resets]
    assert reported["resets"][0]["time_s"] == 0.0
    samples = read_samples(journal)
    home = next(i for i, each in enumerate(samples) if each.state == State.HOMED)
    core.c.shim_observe_init(1)
    observations, before = [], samples[home].tick - 1
    for each in samples[home:]:
        observations.append(core.observe(each.base_count, each.pole_count, 1, each.tick - before))
        before = each.tick
    reset_at = {each.tick for each in resets}
    flags = [each.tick in reset_at for each in samples[home:]]
    actions = read_onnx(remembering / "policy.onnx").run(np.array(observations, np.float32), flags)
    outputs = np.array([each.policy_output for each in samples[home:]], np.float32)
    assert outputs.view(np.uint32).tolist() == actions[:, 0].view(np.uint32).tolist()


@pytest.mark.usefixtures("cached_compilers")
def test_a_replay_repeats_the_resets(trials: dict[str, Path]) -> None:
    found = replay(ReplayConfig(trials["host"]))
    assert found["agrees"] and found["verdict"] == f"all {found['ticks']} ticks agree", found
    assert found["ticks"] > 90


def played(program: Path, journal: Journal, lost: set[int], changed: set[int]) -> Played:
    """The journal played without some TICKs, and with another output in some: what differs first,
    the ticks that agree, and those that were lost."""
    records = [
        Record(record.kind, record.host_ns, content)
        for record in journal.records
        if (content := _spoilt(record, lost, changed)) is not None
    ]
    with Engine(program) as engine:
        player = Player(engine, 1, journal.header.state_size > 0)
        difference = play(Journal(journal.header_json, records, 0), player)
    return difference, len(player.compared), player.lost


def _spoilt(record: Record, lost: set[int], changed: set[int]) -> bytes | None:
    frame = decode(record.payload) if record.kind is Kind.FROM_DEVICE else None
    if frame is None or frame.name != "TICK" or frame["tick"] not in lost | changed:
        return record.payload
    if frame["tick"] in lost:
        return None
    values = {**frame.values, "policy_output": 0.25, "duty": 0.25}
    return encode("TICK", frame.sequence, to_host=True, **values)[1:-1]


def test_after_a_lost_frame_only_a_reset_makes_the_state_known(
    trials: dict[str, Path], remembering: Path, tmp_path: Path
) -> None:
    journal = journal_of(trials["device"])
    program = build_engine(remembering, journal.header.rig_constants, tmp_path / "engine")
    difference, compared, lost = played(program, journal, set(), set())
    assert difference is None and compared > 90 and not lost
    skip = state_resets(journal)[1].tick
    difference, _, lost = played(program, journal, {skip - 20, skip - 19}, {skip - 5, skip})
    assert difference is not None and difference.tick == skip and lost == 2, difference
    assert difference.field in ("duty", "policy_output")


def test_the_report_has_one_line_of_it(trials: dict[str, Path]) -> None:
    [(_, line)] = recurrent_line(assess(journal_of(trials["device"])))
    assert line.startswith("state of 4 values, reset at 0.00 s (took over the motor), at 0.7")
    assert line.endswith("s (1 tick missing)")


def test_an_observation_that_comes_twice_is_one_tick(trials: dict[str, Path]) -> None:
    """A line that doubles a frame must not make the policy see a tick twice."""

    class Counting:
        calls = 0

        def reset(self) -> None: ...

        def begin(self) -> None: ...

        def act(self, base_count: int, pole_count: int, periods: int) -> tuple[float, int]:
            self.calls += 1
            return float(self.calls), 0

    policy = Counting()
    commander = Commander(policy)
    observed = [f for _, f in journal_of(trials["host"]).frames if f.name == "OBSERVATION"][:3]
    for frame in observed:
        assert commander.command(frame) == commander.command(frame)
    assert policy.calls == 3


def test_an_emulated_board_in_the_loop(
    remembering: Path, trials: dict[str, Path], tmp_path: Path
) -> None:
    need("avr-gcc", "simavr", "gcc")
    config = TrialConfig(
        policy=remembering,
        port="emulated:arduino-mega2560",
        mode="pil",
        clock="fast",
        seconds=1.0,
        swing_up_limit_s=1.5,
        disturbances=0,
        firmware=tmp_path / "firmware",
        out=tmp_path / "trial",
        report=False,
    )
    assert run_trial(config)["fault"] == "NONE"
    here, there = (
        active_part(read_trace(journal_of(folder)))
        for folder in (trials["pil"], tmp_path / "trial")
    )
    assert len(here) == len(there) > 60
    assert np.array_equal(here.policy_output, there.policy_output)
