from __future__ import annotations

import ctypes
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.protocol.wire import Fault, State
from tests.firmware_host.core_library import Core

# The limits that core_shim.c sets, in ticks and counts.
STILL, HOMING, REST, STOPPING, STUCK, LINK = 5, 20, 3, 10, 6, 8
TRAVEL, BASE_STEP, POLE_STEP, MAX_DUTY = 1000, 300, 400, 0.8

S = State
REQUESTS: dict[str, dict[State, State]] = {
    "start": {S.BOOT: S.SAFE},
    "home": {S.SAFE: S.HOMING, S.HOMED: S.HOMING, S.FAULT: S.HOMING},
    "arm": {S.HOMED: S.ARMED},
    "disarm": {S.ACTIVE: S.STOPPING, S.ARMED: S.HOMED, S.HOMING: S.SAFE, S.FAULT: S.SAFE},
    "estop": {state: S.FAULT for state in State},
    "clock": {state: S.FAULT for state in State},
    "lost_edges": {state: S.FAULT for state in (S.HOMED, S.ARMED, S.ACTIVE, S.STOPPING, S.FAULT)},
    "limit_switch": {S.ARMED: S.FAULT, S.ACTIVE: S.FAULT},
    "forget_home": {state: S.SAFE for state in State if state not in (S.BOOT, S.FAULT)},
}
"""Where each request leads; from any other state it changes nothing."""

TICK = {S.ARMED: S.ACTIVE}
"""Where one still tick leads."""

FAULTS = {
    "estop": Fault.ESTOP,
    "clock": Fault.CLOCK,
    "lost_edges": Fault.ENCODER_LOST,
    "limit_switch": Fault.LIMIT_SWITCH,
}
"""What each of these latches."""

CASES = [(state, request) for request in REQUESTS for state in State]


def _now(core: Core) -> tuple[State, Fault]:
    return State(core.c.shim_safety_state()), Fault(core.c.shim_safety_fault())


@pytest.mark.parametrize(("state", "request_name"), CASES)
def test_every_request_in_every_state(core: Core, state: State, request_name: str) -> None:
    core.c.shim_safety_begin(state)
    accepted = getattr(core.c, f"shim_safety_{request_name}")()
    after, fault = _now(core)
    assert after == REQUESTS[request_name].get(state, state)
    if request_name in ("home", "arm"):
        assert bool(accepted) == (state in REQUESTS[request_name])
    if after == S.FAULT != state:
        assert fault == FAULTS[request_name]
    elif after == S.FAULT:
        assert fault == Fault.POLE_RATE  # the first fault stays
    else:
        assert fault == Fault.NONE


@pytest.mark.parametrize("state", list(State))
def test_a_still_tick_in_every_state(core: Core, state: State) -> None:
    core.c.shim_safety_begin(state)
    core.c.shim_safety_sample(0, 0, 1)
    duty = core.c.shim_safety_drive(0.3, 0.0)
    after, _ = _now(core)
    assert after == TICK.get(state, state)
    assert duty == (pytest.approx(0.3) if after == S.ACTIVE else 0.0)


@pytest.mark.parametrize("state", [s for s in State if s != S.FAULT])
@pytest.mark.parametrize("output", [math.nan, math.inf, -math.inf])
def test_non_finite_output_faults(core: Core, state: State, output: float) -> None:
    core.c.shim_safety_begin(state)
    core.c.shim_safety_sample(0, 0, 1)
    assert core.c.shim_safety_drive(output, 0.0) == 0.0
    assert _now(core) == (S.FAULT, Fault.NON_FINITE)


def _tick(
    core: Core, base: int, pole: int, output: float = 0.0, heard: bool = True, periods: int = 1
) -> float:
    if heard:
        core.c.shim_safety_heard()
    core.c.shim_safety_sample(base, pole, periods)
    return float(core.c.shim_safety_drive(output, 0.0))


def _active(core: Core) -> None:
    core.c.shim_safety_begin(S.ARMED)
    _tick(core, 0, 0)
    assert _now(core)[0] == S.ACTIVE


def test_homing_zeroes_the_counts_where_they_stand(core: Core) -> None:
    core.c.shim_safety_begin(S.SAFE)
    _tick(core, 1234, -50)
    core.c.shim_safety_home()
    for _ in range(STILL - 1):
        _tick(core, 1235, -50)  # a count of dither is rest
        assert _now(core)[0] == S.HOMING
    core.c.shim_safety_heard()
    assert core.c.shim_safety_sample(1234, -50, 1) == 1
    assert _now(core)[0] == S.HOMED
    _tick(core, 1244, -60)
    counts = (ctypes.c_int32 * 2)()
    core.c.shim_safety_counts(counts)
    assert list(counts) == [10, -10]


def test_homing_without_rest_times_out(core: Core) -> None:
    core.c.shim_safety_begin(S.SAFE)
    core.c.shim_safety_home()
    for tick in range(HOMING):
        assert _now(core)[0] == S.HOMING
        _tick(core, 0, 3 * (tick % 2))
    assert _now(core) == (S.FAULT, Fault.HOMING_TIMEOUT)


def test_stopping_waits_for_the_base_alone(core: Core) -> None:
    _active(core)
    for tick in range(5):
        _tick(core, 20 * tick, 0)
    core.c.shim_safety_disarm()
    for tick in range(4):
        assert _tick(core, 80 + 20 * tick, 0, output=0.7) == 0.0
        assert _now(core)[0] == S.STOPPING
    for tick in range(REST):
        assert _now(core)[0] == S.STOPPING
        _tick(core, 140, 30 * tick)
    assert _now(core)[0] == S.HOMED


def test_stopping_ends(core: Core) -> None:
    _active(core)
    core.c.shim_safety_disarm()
    for tick in range(STOPPING):
        assert _now(core)[0] == S.STOPPING
        _tick(core, 20 * tick, 0)
    assert _now(core)[0] == S.HOMED


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize("state", [S.ARMED, S.ACTIVE])
def test_limits(core: Core, state: State, way: int) -> None:
    for path, fault in (
        ([(way * n * 200, 2 * n) for n in range(6)], Fault.NONE),
        ([(way * n * 200, 2 * n) for n in range(7)], Fault.BASE_TRAVEL),
        ([(0, 0), (way * BASE_STEP, 1)], Fault.NONE),
        ([(0, 0), (way * (BASE_STEP + 1), 1)], Fault.BASE_RATE),
        ([(0, 0), (1, way * POLE_STEP)], Fault.NONE),
        ([(0, 0), (1, way * (POLE_STEP + 1))], Fault.POLE_RATE),
    ):
        core.c.shim_safety_begin(state)
        for base, pole in path:
            _tick(core, base, pole)
        expected = (S.FAULT, fault) if fault else (S.ACTIVE, Fault.NONE)
        assert _now(core) == expected, path


def test_rates_are_over_the_periods_that_passed(core: Core) -> None:
    _active(core)
    core.c.shim_safety_sample(2 * BASE_STEP, 2 * POLE_STEP, 2)
    assert _now(core)[0] == S.ACTIVE


@pytest.mark.parametrize("state", [S.ARMED, S.ACTIVE])
def test_silence_of_the_host_faults(core: Core, state: State) -> None:
    core.c.shim_safety_begin(state)
    for tick in range(LINK - 1):
        assert _tick(core, tick, tick, output=0.1, heard=False) == pytest.approx(0.1)
    assert _tick(core, 9, 9, output=0.1, heard=False) == 0.0
    assert _now(core) == (S.FAULT, Fault.LINK_LOST)


def test_silence_does_not_matter_at_rest(core: Core) -> None:
    core.c.shim_safety_begin(S.HOMED)
    for _ in range(5 * LINK):
        _tick(core, 0, 0, heard=False)
    assert _now(core)[0] == S.HOMED


@pytest.mark.parametrize(("duty", "fault"), [(0.6, Fault.STUCK_BASE), (0.3, Fault.NONE)])
def test_stuck_base(core: Core, duty: float, fault: Fault) -> None:
    _active(core)
    for tick in range(STUCK + 1):
        assert _now(core)[0] == S.ACTIVE
        _tick(core, 0, tick, output=duty)
    assert _now(core)[1] == fault


@pytest.mark.parametrize(
    ("duties", "fault"),
    [
        ((0.55, -0.53), Fault.NONE),
        ((0.6, -0.45), Fault.NONE),
        ((0.6, -0.05), Fault.STUCK_BASE),
        ((1.0, 0.0), Fault.STUCK_BASE),
        ((0.6, 0.6, -0.6, -0.6), Fault.STUCK_BASE),
    ],
)
def test_a_base_between_whose_ticks_the_duty_turns_round(
    core: Core, duties: tuple[float, ...], fault: Fault
) -> None:
    """It swings between the ticks, and is at each where it was at the one before."""
    _active(core)
    for tick in range(10 * STUCK):
        _tick(core, tick % 2, tick, output=duties[tick % len(duties)])
    assert _now(core)[1] == fault


@pytest.mark.parametrize("way", [1, -1])
def test_a_current_that_lasts_faults(core: Core, way: int) -> None:
    _active(core)
    for milliamperes, state in ((2001, S.ACTIVE), (2000, S.ACTIVE), (2001, S.ACTIVE)):
        core.c.shim_safety_current(way * milliamperes)
        _tick(core, 0, 0)
        assert _now(core)[0] == state
    _tick(core, 0, 0)
    assert _now(core) == (S.FAULT, Fault.OVER_CURRENT)


def test_a_board_without_a_sensor_has_no_current(core: Core) -> None:
    _active(core)
    for _ in range(5):
        _tick(core, 0, 0)
    assert _now(core)[0] == S.ACTIVE


@pytest.mark.parametrize(("periods", "fault"), [(4, Fault.NONE), (5, Fault.OVERRUN)])
def test_a_board_that_overran_faults(core: Core, periods: int, fault: Fault) -> None:
    _active(core)
    core.c.shim_safety_heard()
    core.c.shim_safety_sample(0, 0, periods)
    assert _now(core)[1] == fault


def test_a_watchdogs_restart_is_latched(core: Core) -> None:
    core.c.shim_safety_begin(S.BOOT)
    core.c.shim_safety_restart()
    assert _now(core) == (S.FAULT, Fault.WATCHDOG)
    core.c.shim_safety_restart()
    core.c.shim_safety_disarm()
    assert _now(core) == (S.SAFE, Fault.NONE)


def test_edges_lost_after_the_host_fell_silent_cost_the_zero(core: Core) -> None:
    _active(core)
    for tick in range(LINK):
        _tick(core, tick, tick, output=0.1, heard=False)
    assert _now(core) == (S.FAULT, Fault.LINK_LOST)
    core.c.shim_safety_lost_edges()
    core.c.shim_safety_disarm()
    assert _now(core)[0] == S.SAFE  # not HOMED, as after LINK_LOST alone


def test_arming_without_live_commands_faults(core: Core) -> None:
    core.c.shim_safety_begin(S.ARMED)
    core.c.shim_safety_commanded()
    _tick(core, 0, 0)
    assert _now(core) == (S.FAULT, Fault.COMMAND_LATE)


@pytest.mark.parametrize("life", [1, 2])
def test_a_command_lives_as_long_as_it_says(core: Core, life: int) -> None:
    core.c.shim_safety_begin(S.ARMED)
    core.c.shim_safety_commanded()
    assert core.c.shim_safety_command(0, life)
    for _ in range(life):
        _tick(core, 0, 0)
        assert _now(core)[0] == S.ACTIVE
    assert not core.c.shim_safety_command(life + 1, life)  # dead on arrival
    assert not core.c.shim_safety_command(life, life)  # no newer than the last
    _tick(core, 0, 0)
    assert _now(core) == (S.FAULT, Fault.COMMAND_LATE)


BASE_STOP, POLE_STOP = 60, 80


@pytest.mark.parametrize(("speed", "stops"), [(BASE_STOP, True), (BASE_STOP - 1, False)])
def test_a_base_that_stops_dead(core: Core, speed: int, stops: bool) -> None:
    _active(core)
    for base in (speed, 2 * speed, 2 * speed):
        _tick(core, base, base // 7)
        assert _now(core)[0] == S.ACTIVE
    _tick(core, 2 * speed, speed // 3)
    assert _now(core)[1] == (Fault.STUCK_BASE if stops else Fault.NONE)


@pytest.mark.parametrize(("speed", "stops"), [(POLE_STOP, True), (POLE_STOP - 1, False)])
def test_a_pole_that_stops_dead(core: Core, speed: int, stops: bool) -> None:
    _active(core)
    for pole in (speed, 2 * speed, 2 * speed, 2 * speed):
        _tick(core, 0, pole)
    assert _now(core)[1] == (Fault.STUCK_POLE if stops else Fault.NONE)


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize(("sign", "fault"), [(1, Fault.NONE), (-1, Fault.REVERSED_BASE)])
def test_a_base_that_answers_the_wrong_way(core: Core, way: int, sign: int, fault: Fault) -> None:
    """It speeds up from rest under a steady duty."""
    _active(core)
    for tick in range(1, 7):
        _tick(core, sign * way * 6 * tick * tick, tick, output=0.4 * way)
    assert _now(core)[1] == fault


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("right", [False, True])
def test_a_pole_that_answers_the_wrong_way(core: Core, upright: bool, right: bool) -> None:
    """The base is jerked to and fro; hanging, this rig's pole counts along, upright against."""
    base, pole = 0, 4170 // 2 if upright else 0
    sign = (1 if right else -1) * (-1 if upright else 1)
    core.c.shim_safety_begin(S.ARMED)
    for tick in range(10):
        _tick(core, base, pole)
        if tick % 2:
            base, pole = base + 30, pole + 5 * sign
    assert _now(core)[1] == (Fault.NONE if right else Fault.REVERSED_POLE)


@pytest.mark.parametrize(("right", "stops"), [(2, True), (12, False)])
def test_a_pole_that_has_answered_right_may_be_pushed(core: Core, right: int, stops: bool) -> None:
    base = pole = 0
    core.c.shim_safety_begin(S.ARMED)
    for tick in range(right + 16):
        _tick(core, base, pole)
        if tick % 2:
            base, pole = base + 30, pole + (5 if tick < right else -5)
    assert _now(core)[1] == (Fault.REVERSED_POLE if stops else Fault.NONE)


def test_steps_of_skipped_ticks_are_no_jerks(core: Core) -> None:
    """Base and pole move evenly, one forward, one back; now and then a tick takes two periods."""
    _active(core)
    base = pole = 0
    for tick in range(12):
        periods = 2 if tick % 2 else 1
        base, pole = base + 30 * periods, pole - 20 * periods
        _tick(core, base, pole, periods=periods)
    assert _now(core)[1] == Fault.NONE


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.floats(-1e6, 1e6, width=32))
def test_duty_is_clamped(core: Core, output: float, kick: float) -> None:
    _active(core)
    duty = core.c.shim_safety_drive(output, kick)
    assert abs(duty) <= MAX_DUTY + 1e-7
    if abs(output + kick) < MAX_DUTY:
        assert duty == pytest.approx(output + kick, rel=1e-6, abs=1e-12)


_ACTIONS = st.one_of(
    st.sampled_from(["home", "arm", "disarm", "estop", "start", "heard"]),
    st.tuples(
        st.integers(-(2**31), 2**31 - 1) | st.integers(-5, 5),
        st.integers(-(2**31), 2**31 - 1) | st.integers(-5, 5),
        st.floats(width=32),
    ),
)


@given(st.lists(_ACTIONS, max_size=60))
def test_no_way_to_drive_but_active(
    core: Core, actions: list[str | tuple[int, int, float]]
) -> None:
    core.c.shim_safety_begin(S.BOOT)
    for action in actions:
        if isinstance(action, str):
            getattr(core.c, f"shim_safety_{action}")()
            continue
        base, pole, output = action
        core.c.shim_safety_sample(base, pole, 1)
        duty = core.c.shim_safety_drive(output, 0.0)
        state, fault = _now(core)
        assert duty == 0.0 or state == S.ACTIVE
        assert (fault != Fault.NONE) == (state == S.FAULT)
