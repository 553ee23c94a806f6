"""The same tests on every board in the registry, each in its emulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sparsectl.firmware_host.boards import BOARDS, Board
from sparsectl.firmware_host.emulators.running import RunningBoard
from sparsectl.firmware_host.policy_folder import read_golden_vectors, read_policy_facts
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.journal.journal import Kind, read_journal
from sparsectl.hil.trial.trial import run_trial
from sparsectl.protocol.client import Client
from sparsectl.protocol.wire import PROTOCOL_HASH, Clock, Fault, Mode, Reason, State, decode
from tests.hil.policies import EASY_RIG

Firmware = Callable[[str], Path]


@pytest.fixture(scope="module", params=BOARDS)
def running(request: pytest.FixtureRequest, firmware: Firmware) -> Iterator[RunningBoard]:
    """A board with the easy policy, running."""
    name: str = request.param
    with RunningBoard(BOARDS[name], firmware(name)) as board:
        yield board
    assert board.process.returncode is not None


@pytest.fixture
def line(running: RunningBoard) -> Iterator[Client]:
    with Client(running.port) as client:
        yield client


def test_hello_says_who_and_what_the_board_is(
    running: RunningBoard, line: Client, easy: Path
) -> None:
    hello = line.ask("HELLO")
    policy = read_policy_facts(easy)
    assert hello["board"] == running.board.name and hello["protocol_hash"] == PROTOCOL_HASH
    assert hello["policy_digest"].hex() == policy.digest
    assert (hello["observation_size"], hello["frames"]) == (25, 5)
    assert hello["clock_hz"] == running.board.timer_hz and hello["clock"] == Clock.REALTIME
    assert (hello["state"], hello["fault"]) == (State.SAFE, Fault.NONE)


def test_golden_vectors_come_out_bit_for_bit(line: Client, easy: Path) -> None:
    golden = read_golden_vectors(easy)
    assert line.ask("HELLO")["vector_count"] == len(golden.actions) > 1
    for index, action in enumerate(golden.actions):
        answer = line.ask("BENCH", index=index)
        assert (answer["max_error"], answer["action"]) == (0.0, float(action[0]))
        assert answer["inference_ns"] > 0
    assert line.ask("BENCH", index=len(golden.actions))["reason"] == Reason.BAD_INDEX


def test_another_digest_is_refused(line: Client) -> None:
    assert line.configure(policy_digest=bytes(32))["reason"] == Reason.WRONG_DIGEST
    nonce = line.ask("HELLO")["arm_nonce"]
    assert line.ask("ARM", nonce=nonce)["reason"] == Reason.NOT_CONFIGURED
    assert line.configure().name == "ACK"
    assert line.ask("MODE", mode=Mode.PIL).name == "ACK"  # which ends the stream of TICKs


def test_garbage_on_the_line_costs_nothing_but_itself(line: Client) -> None:
    before = line.ask("STATS")
    line.write(bytes(range(1, 120)) + b"\x00" + b"\x07\x01\x02\x00")
    after = line.ask("STATS")
    assert after["frames_corrupt"] > before["frames_corrupt"]
    assert after["frames_dropped"] == before["frames_dropped"]


def test_balances_in_lockstep_as_the_host_does(
    running: RunningBoard, easy: Path, tmp_path: Path, on_host: list[tuple[float, float]]
) -> None:
    result, outputs = balance(easy, tmp_path / "trial", running.port, running.board)
    assert result["ended"] == "completed" and result["balanced"], result
    assert result["balanced_seconds"] == 10.0 and len(result["disturbances"]) == 1
    assert result["final_state"] in ("HOMED", "STOPPING") and result["fault"] == "NONE"
    assert result["lost_frames"] == result["corrupt_frames"] == 0
    assert result["board"] == running.board.name
    assert outputs == on_host  # each output and each duty, every bit


@pytest.fixture(scope="module")
def on_host(
    firmware: Firmware, easy: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[float, float]]:
    host = BOARDS["host"]
    with RunningBoard(host, firmware("host")) as board:
        return balance(easy, tmp_path_factory.mktemp("on-host") / "trial", board.port, host)[1]


def balance(
    policy: Path, out: Path, port: str, board: Board
) -> tuple[dict[str, object], list[tuple[float, float]]]:
    """Ten seconds upright, a kick on the way: the result, and (output, duty) of each tick."""
    config = TrialConfig(
        policy=policy,
        rig=str(EASY_RIG),
        port=port,
        board=board.name,
        mode="pil",
        clock="fast",
        seconds=10.0,
        out=out,
        report=False,
    )
    result = run_trial(config)
    sent = read_journal(out / "journal.bin").records
    frames = [decode(record.payload) for record in sent if record.kind is Kind.FROM_DEVICE]
    acts = {}  # by tick: on a slow machine a step is asked for again, and answered as before
    for frame in frames:
        if frame is not None and frame.name == "PLANT_ACT":
            act = (frame["policy_output"], frame["duty"])
            assert acts.setdefault(frame["tick"], act) == act
    return result, list(acts.values())
