"""Controllers: towards what is wanted, whatever the student's answer to the divergence is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.training.bpd.kl_control import Controller, ReturnShare, Weights, steered
from sparsectl.training.settings import BpdSettings

SETTINGS = BpdSettings()


def after(controller: Controller, answer: dict[str, float], steps: int = 100) -> float:
    """The multiplier after steps of control in the second half of a run."""
    multiplier = 1.0
    for _ in range(steps):
        multiplier *= steered(controller, answer | {"progress": 0.7}, SETTINGS)
    return multiplier


@given(st.integers(20, 2000), st.floats(0.5, 1.5), st.floats(2.0, 4.0))
def test_weights_reach_the_wanted_number(wanted: int, slope: float, start: float) -> None:
    """Against a student whose kept weights fall as a power of the multiplier."""
    controller, log_multiplier = Weights(wanted), 0.0
    kept = 10.0**start
    for _ in range(200):
        kept = 10.0**start * math.exp(-slope * log_multiplier)
        figures = {"kept_weights": kept, "progress": 0.9}
        log_multiplier += math.log(steered(controller, figures, SETTINGS))
    assert kept == pytest.approx(wanted, rel=0.01)


def test_it_waits_for_the_ramp() -> None:
    assert steered(Weights(10), {"kept_weights": 1e4, "progress": 0.49}, SETTINGS) == 1
    assert steered(Weights(10), {"kept_weights": 1e4, "progress": 0.5}, SETTINGS) > 1


@pytest.mark.parametrize(
    ("returned", "grows"), [(100.0, True), (98.0, True), (96.0, False), (-50.0, False)]
)
def test_a_lost_return_takes_the_divergence_down(returned: float, grows: bool) -> None:
    controller = ReturnShare(0.97, 100.0)
    assert (after(controller, {"return": returned}) > 1) is grows
    assert after(controller, {}) == 1
    assert after(controller, {"return": -1e9}) > 0
