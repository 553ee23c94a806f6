"""Device mode on the host port with an analytic plant behind it: runs, and how they end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sparsectl.protocol.wire import Fault, Mode, Reason, State
from tests.firmware_host.board_process import BoardProcess, Plant
from tests.firmware_host.small_policy import small_policy

PERIOD_US = 20_000
LINK_TICKS = 3


def _steps(board: BoardProcess, first: int, last: int) -> None:
    """Run ticks `first` to `last`, a STEP each."""
    for tick in range(first, last + 1):
        assert board.ask("STEP", until_tick=tick).name == "ACK"


def _activate(board: BoardProcess) -> int:
    """From SAFE to ACTIVE in lockstep; gives the tick reached."""
    assert board.configure().name == "ACK"
    assert board.ask("HOME").name == "ACK"
    _steps(board, 1, 25)
    assert board.ask("ARM", nonce=board.ask("HELLO")["arm_nonce"]).name == "ACK"
    _steps(board, 26, 26)
    assert board.ask("HELLO")["state"] == State.ACTIVE
    return 26


def _states(board: BoardProcess) -> list[State]:
    return [State(event["state"]) for event in board.named("EVENT")]


def test_from_boot_to_active_and_back(elf: Path) -> None:
    plant = Plant()
    with BoardProcess(elf, "--clock", "lockstep", plant=plant) as board:
        last = _activate(board)
        _steps(board, last + 1, last + 40)
        board.ask("DISARM")
        _steps(board, last + 41, last + 140)
        board.close()
        assert board.finish() == (0, "")
    assert _states(board) == [
        S for S in State if S not in (State.BOOT, State.SAFE, State.FAULT)
    ] + [State.HOMED]
    ticks = board.named("TICK")
    assert [tick["tick"] for tick in ticks] == list(range(1, last + 141))
    assert [frame.sequence for frame in board.frames] == list(range(len(board.frames)))
    for tick in ticks:
        assert tick["duty"] == (tick["policy_output"] if tick["state"] == State.ACTIVE else 0.0)
    assert any(abs(tick["base_count"]) > 50 for tick in ticks)  # the motor did move the base


def test_tick_times_and_the_plant_agree(elf: Path) -> None:
    """Sampled on the grid, actuated after the modelled time, which TICK reports."""
    plant = Plant()
    with BoardProcess(elf, "--clock", "lockstep", "--compute-us", "450", plant=plant) as board:
        last = _activate(board)
        _steps(board, last + 1, last + 30)
    duties: dict[int, float] = {}
    for time_ns, duty in plant.requests:
        duties.setdefault(time_ns, duty)  # the end of the process turns the motor off, later
    for tick in board.named("TICK"):
        sampled_us = tick["tick"] * PERIOD_US
        assert tick["sample_time_us"] == sampled_us
        assert (tick["actuation_us"], tick["inference_ns"]) == (450, 450_000)
        assert (tick["lateness_us"], tick["skipped"]) == (0, 0)
        assert sampled_us * 1000 in duties
        assert duties[(sampled_us + 450) * 1000] == tick["duty"]


def test_two_lockstep_runs_are_identical(elf: Path) -> None:
    runs = []
    for _ in range(2):
        with BoardProcess(elf, "--clock", "lockstep", plant=Plant()) as board:
            last = _activate(board)
            _steps(board, last + 1, last + 60)
        runs.append([frame.raw for frame in board.frames])
    assert runs[0] == runs[1]


def test_one_step_of_many_ticks_loses_nothing(elf: Path) -> None:
    with BoardProcess(elf, "--clock", "lockstep") as board:
        board.configure()
        board.ask("STEP", until_tick=1500)
        assert [t["tick"] for t in board.named("TICK")] == list(range(1, 1501))
        assert board.ask("STATS")["frames_dropped"] == 0
        assert board.ask("STEP", until_tick=3).name == "ACK"  # had run before


def test_silent_host_ends_with_the_motor_off(elf: Path) -> None:
    plant = Plant()
    with BoardProcess(elf, "--clock", "lockstep", plant=plant) as board:
        last = _activate(board)
        board.ask("STEP", until_tick=last + LINK_TICKS)
        ticks = board.named("TICK")
        assert [State(tick["state"]) for tick in ticks[-2:]] == [State.ACTIVE, State.FAULT]
        assert (ticks[-1]["fault"], ticks[-1]["duty"]) == (Fault.LINK_LOST, 0.0)
        assert plant.requests[-1][1] == 0.0


@pytest.mark.parametrize("clock", ["realtime", "fast"])
def test_silent_host_on_free_clocks(elf: Path, clock: str) -> None:
    plant = Plant()
    with BoardProcess(elf, "--clock", clock, plant=plant) as board:
        board.configure()
        board.ask("HOME")
        while State.HOMED not in _states(board):
            board.ask("TIMESYNC", host_time_ns=0)
        board.ask("ARM", nonce=board.ask("HELLO")["arm_nonce"])
        event = board.wait_for(lambda f: f.name == "EVENT" and f["state"] == State.FAULT)
        assert event["fault"] == Fault.LINK_LOST
        active = [tick for tick in board.named("TICK") if tick["state"] == State.ACTIVE]
        assert 0 < len(active) < LINK_TICKS
        assert board.ask("DISARM").name == "ACK"
        board.wait_for(lambda f: f.name == "EVENT" and f["state"] == State.HOMED)
    assert plant.requests[-1][1] == 0.0


def test_skipped_deadlines_are_counted(elf: Path) -> None:
    """A board that was stopped for some periods stays on its grid and says what it missed."""
    with BoardProcess(elf, "--clock", "realtime", plant=Plant()) as board:
        board.configure()
        board.process.send_signal(signal.SIGSTOP)
        time.sleep(5 * PERIOD_US * 1e-6)
        board.process.send_signal(signal.SIGCONT)
        late = board.wait_for(lambda f: f.name == "TICK" and f["skipped"] >= 3)
        stats = board.ask("STATS")
        assert stats["skipped"] >= late["skipped"]
        assert board.ask("HELLO")["tick"] >= stats["ticks"] + stats["skipped"]
        ticks = board.named("TICK")
    for before, after in zip(ticks, ticks[1:], strict=False):
        skipped = after["skipped"] - before["skipped"]
        assert after["tick"] - before["tick"] == 1 + skipped
    for tick in ticks:
        deadline_us = tick["sample_time_us"] - tick["lateness_us"]
        assert deadline_us >= tick["tick"] * PERIOD_US - 1
        assert tick["lateness_us"] < PERIOD_US


def test_a_board_whose_every_tick_overruns_still_listens(
    build: Callable[[Path], Path], tmp_path: Path
) -> None:
    # In short naps: the signals of the port's watchdog would cut one of 25 ms off.
    naps = "for (int nap = 0; nap < 30; nap++) usleep(1000);"
    slow = small_policy(extra=f"extern int usleep(unsigned); {naps}")
    with BoardProcess(build(slow.write(tmp_path)), "--clock", "realtime", plant=Plant()) as board:
        while board.ask("STATS")["skipped"] < 3:
            pass
        assert board.ask("ESTOP").name == "ACK"


def test_estop_cuts_the_motor_between_ticks(elf: Path) -> None:
    plant = Plant()
    with BoardProcess(elf, "--clock", "lockstep", plant=plant) as board:
        last = _activate(board)
        assert plant.requests[-1][1] != 0.0
        board.ask("ESTOP")
        assert plant.requests[-1][1] == 0.0
        _steps(board, last + 1, last + 3)
        assert {tick["duty"] for tick in board.named("TICK")[-3:]} == {0.0}
        assert board.ask("ARM", nonce=board.ask("HELLO")["arm_nonce"])["reason"] == 1
        event = board.named("EVENT")[-1]
        assert (event["state"], event["fault"]) == (State.FAULT, Fault.ESTOP)


def test_settings_are_fixed_while_active(elf: Path) -> None:
    with BoardProcess(elf, "--clock", "lockstep", plant=Plant()) as board:
        _activate(board)
        for answer in (
            board.configure(),
            board.ask("MODE", mode=Mode.PIL),
            board.ask("BENCH", index=0),
            board.ask("HOME"),
        ):
            assert (answer.name, answer["reason"]) == ("NACK", Reason.WRONG_STATE)


@pytest.mark.parametrize("bad", ["1e30f * 1e30f", "1e30f * 1e30f - 1e30f * 1e30f"])
def test_non_finite_policy_ends_with_the_motor_off(
    build: Callable[[Path], Path], tmp_path: Path, bad: str
) -> None:
    spoilt = small_policy(extra=f"if (observation[20] > 0.002f) {{ action[0] = {bad}; }}")
    plant = Plant()
    elf = build(spoilt.write(tmp_path))
    with BoardProcess(elf, "--clock", "lockstep", plant=plant) as board:
        last = _activate(board)
        _steps(board, last + 1, last + 60)
    fault = next(tick for tick in board.named("TICK") if tick["fault"])
    assert (fault["fault"], fault["duty"]) == (Fault.NON_FINITE, 0.0)
    assert fault["base_count"] > 0.002 / 9e-5
    assert plant.requests[-1][1] == 0.0


def test_a_firmware_that_hangs_is_restarted_with_the_motor_off(
    build: Callable[[Path], Path], tmp_path: Path
) -> None:
    hang = 'static int calls; if (++calls == 40) { for (;;) { __asm__ volatile(""); } }'
    hanging = small_policy(extra=hang)
    plant = Plant()
    elf = build(hanging.write(tmp_path))
    with BoardProcess(elf, "--clock", "lockstep", plant=plant) as board:
        last = _activate(board)
        assert plant.requests[-1][1] != 0.0
        for tick in range(last + 1, last + 20):  # past the call that hangs
            board.send("TIMESYNC", host_time_ns=0)
            board.send("STEP", until_tick=tick)
        hello = board.ask("HELLO")
        while hello["fault"] != Fault.WATCHDOG:
            hello = board.ask("HELLO")
        assert hello["state"] == State.FAULT
        assert plant.requests[-1][1] == 0.0
        assert board.ask("ARM", nonce=hello["arm_nonce"])["reason"] == Reason.NOT_CONFIGURED


def test_stuck_cart_is_found(build: Callable[[Path], Path], tmp_path: Path) -> None:
    plant = Plant()
    plant.stuck = True
    elf = build(small_policy(extra="action[0] = 0.9f;").write(tmp_path))
    with BoardProcess(elf, "--clock", "lockstep", plant=plant) as board:
        last = _activate(board)
        _steps(board, last + 1, last + 30)
    assert board.named("EVENT")[-1]["fault"] == Fault.STUCK_BASE


def test_runaway_cart_is_stopped(build: Callable[[Path], Path], tmp_path: Path) -> None:
    plant = Plant()
    elf = build(small_policy(extra="action[0] = 3.0f;").write(tmp_path))
    with BoardProcess(elf, "--clock", "lockstep", plant=plant) as board:
        last = _activate(board)
        _steps(board, last + 1, last + 100)
    ticks = board.named("TICK")
    assert max(tick["duty"] for tick in ticks) == 1.0
    fault = next(tick for tick in ticks if tick["fault"])
    assert fault["fault"] == Fault.BASE_TRAVEL
    assert fault["base_count"] * 9e-5 == pytest.approx(0.198, abs=0.02)


@pytest.mark.parametrize("clock", ["realtime", "lockstep", "fast"])
def test_closed_line_ends_the_process_with_the_motor_off(elf: Path, clock: str) -> None:
    plant = Plant()
    with BoardProcess(elf, "--clock", clock, plant=plant) as board:
        if clock == "lockstep":
            _activate(board)
        board.close()
        assert board.finish() == (0, "")
    assert plant.requests[-1][1] == 0.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_the_process_with_the_motor_off(elf: Path, number: signal.Signals) -> None:
    plant = Plant()
    with BoardProcess(elf, "--clock", "lockstep", plant=plant) as board:
        _activate(board)
        assert plant.requests[-1][1] != 0.0
        board.process.send_signal(number)
        assert board.finish() == (0, "")
    assert plant.requests[-1][1] == 0.0


def test_killed_firmware_leaves_the_plant_an_end_of_file(elf: Path) -> None:
    with BoardProcess(elf, "--clock", "lockstep", plant=Plant()) as board:
        _activate(board)
        board.process.kill()
        code, _ = board.finish()  # joins the plant's thread, which ends at the end of file
    assert code == -signal.SIGKILL
    assert not board._server.is_alive()
