from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.hil.live.picture import POLE, TRACK_Y, Shape, pendulum
from sparsectl.hil.live.view import EDGES_US, HISTORY_S, MOST_POINTS, Setup, View


def tick(time_s: float, latency_us: float = 50.0, angle_rad: float = 0.0) -> list[float]:
    return [time_s, angle_rad, 0.01, 0.5, 0, latency_us, 2.0]


def test_history_is_the_last_seconds() -> None:
    view = View(state="ACTIVE")
    view.take({"ticks": [tick(0.02 * k) for k in range(2000)]}, 5)
    assert view.time_s[-1] - view.time_s[0] <= HISTORY_S
    assert len(view.time_s) == pytest.approx(HISTORY_S / 0.02, abs=2)


def test_a_clock_that_begins_again_begins_the_history_again() -> None:
    view = View()
    view.take({"ticks": [tick(5.0), tick(5.02)]}, 5)
    view.take({"ticks": [tick(0.0)]}, 5)
    assert list(view.time_s) == [0.0]


@given(st.lists(st.floats(0, 1e9), max_size=50))
def test_every_tick_falls_into_one_bin(latencies_us: list[float]) -> None:
    view = View(state="ACTIVE")
    view.take({"ticks": [tick(0.02 * k, us) for k, us in enumerate(latencies_us)]}, 5)
    assert sum(view.histogram) == len(latencies_us)


def test_bins_hold_what_their_labels_say() -> None:
    view = View(state="ACTIVE")
    view.take({"ticks": [tick(0.0, edge) for edge in EDGES_US[:-1]]}, 5)
    assert view.histogram == [1] * (len(EDGES_US) - 1)


def test_a_board_that_stopped_drives_no_motor() -> None:
    """The page showed the duty of the last tick that had driven, beside "the trial has ended"."""
    view = View()
    view.take({"ticks": [[0.0, 0.0, 0.0, -0.83, 0, 10.0, 10.0]], "state": "ACTIVE"}, 5)
    assert view.duty == -0.83
    view.take({"ended": "the board stopped the trial", "state": "FAULT", "fault": "ESTOP"}, 5)
    assert view.duty == 0.0


def test_ticks_before_arming_are_not_counted() -> None:
    view = View(state="HOMED")
    view.take({"ticks": [tick(0.0)]}, 5)
    assert sum(view.histogram) == 0


def test_lines_are_thinned() -> None:
    view = View()
    view.take({"ticks": [tick(0.001 * k) for k in range(9000)]}, 5)
    angle, base = view.lines()
    assert MOST_POINTS / 2 < len(angle) == len(base) <= 2 * MOST_POINTS


def test_setup_survives_the_command_line() -> None:
    for duties in ((), (-1.0, 0.0, 0.3)):
        setup = Setup("Rig ü", True, "rad", 1.5, "inference", duties)
        assert Setup.from_json(setup.to_json()) == setup


def test_the_duty_stands_among_those_that_are_chosen_from() -> None:
    setup = Setup("Rig", False, "m", 0.2, "inference", (-1.0, 0.0, 1 / 3))
    shown = [setup.shown(duty) for duty in (-1.0, 0.0, round(1 / 3, 4))]
    assert [re.findall("<b>(.*?)</b>", each) for each in shown] == [["-1"], ["0"], ["+0.333333"]]
    assert setup.shown(0.76) == "+0.76"  # a kick's
    assert Setup("Rig", False, "m", 0.2, "inference").shown(0.0) == "+0.00"


@given(st.booleans(), st.floats(-2, 2), st.floats(-math.pi, math.pi))
def test_the_pole_is_drawn_at_its_angle(is_rotary: bool, base: float, angle_rad: float) -> None:
    svg = ElementTree.fromstring(pendulum(Shape(is_rotary, 0.2), base, angle_rad, "#d2651a"))
    [pole] = [line for line in svg.iter("line") if line.get("stroke") == "#d2651a"]
    x1, y1, x2, y2 = (float(pole.attrib[name]) for name in ("x1", "y1", "x2", "y2"))
    assert y1 == TRACK_Y
    assert (x2 - x1, y1 - y2) == pytest.approx(
        (POLE * math.sin(angle_rad), POLE * math.cos(angle_rad)), abs=0.2
    )
