"""A trial's result as JSON and back; what another version wrote is no result."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from sparsectl.hil.analysis.trial_result import Disturbance, TrialResult

TIMES = {"p50": 1.0, "p99": 2.0, "max": 3.0}
RESULT = TrialResult(
    digest="ab" * 32,
    mode="device",
    clock="realtime",
    ticks=100,
    skipped=1,
    lost_frames=2,
    corrupt_frames=3,
    duplicate_frames=4,
    late_frames=5,
    balanced=True,
    balanced_seconds=1.5,
    swing_up_seconds=0.5,
    held_seconds=1.5,
    final_state="HOMED",
    fault="NONE",
    ended="completed",
    period_us=TIMES,
    jitter_us=TIMES,
    round_trip_us=None,
    inference_us=TIMES,
    actuation_us=TIMES,
    late_ticks=6,
    priority="ordinary",
    noise_floor_us=None,
    rms_angle_rad=0.01,
    rms_duty=0.1,
    disturbances=(Disturbance(1.0, 0.5, 0.2, None), Disturbance(2.0, -0.5, None, None)),
    kicks_missed=0,
    clock_relation=None,
    latency_us=None,
    board="host",
    stats={"ticks": 100},
)


def test_through_json_and_back() -> None:
    kept = json.loads(json.dumps(RESULT.to_json() | {"journal": "j", "report": None}))
    assert TrialResult.from_json(kept) == RESULT
    assert kept["deadline_misses"] == RESULT.skipped + RESULT.late_ticks  # its former name


@pytest.mark.parametrize("name", [field.name for field in fields(TrialResult)])
def test_a_figure_that_is_missing_makes_it_none(name: str) -> None:
    kept = RESULT.to_json()
    del kept[name]
    assert TrialResult.from_json(kept) is None


@pytest.mark.parametrize("kept", [None, [], "trial", {}, RESULT.to_json() | {"disturbances": [1]}])
def test_what_is_no_result(kept: object) -> None:
    assert TrialResult.from_json(kept) is None
