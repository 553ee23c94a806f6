"""RMS angle, effort, and the answer to each kick, on motion that is known."""

from __future__ import annotations

import numpy as np
import pytest

from sparsectl.hil.analysis.responses import SETTLED_RAD, Balancing, balancing, kick_responses
from sparsectl.hil.journal.trace import Sample, Trace, make_trace
from sparsectl.protocol.wire import State

RAD_PER_COUNT = 1e-4
HANGING = round(np.pi / RAD_PER_COUNT)


def trace(angle_rad: list[float], duty: list[float] | None = None) -> Trace:
    """Active ticks of 20 ms."""
    duties = duty or [0.0] * len(angle_rad)
    return make_trace(
        [
            Sample(
                tick=index,
                time_us=20_000 * index,
                host_ns=0,
                base_count=0,
                pole_count=HANGING + round(angle / RAD_PER_COUNT),
                duty=drive,
                policy_output=0.0,
                inference_ns=0,
                actuation_us=0,
                lateness_us=0,
                state=int(State.ACTIVE),
                fault=0,
                skipped=0,
            )
            for index, (angle, drive) in enumerate(zip(angle_rad, duties, strict=True))
        ],
        1e-4,
        RAD_PER_COUNT,
    )


def test_rms_is_of_the_balancing_alone() -> None:
    swing_up, standing = [2.0] * 100, [0.1, -0.1] * 50
    found = balancing(trace(swing_up + standing, [1.0] * 100 + [0.3, -0.3] * 50))
    assert found.rms_angle_rad == pytest.approx(0.1, abs=1e-3)
    assert found.rms_duty == pytest.approx(0.3, abs=1e-5)
    assert balancing(trace(swing_up)) == Balancing(None, None)
    assert balancing(trace([])) == Balancing(None, None)


def test_peak_and_settling_of_each_kick() -> None:
    """Kicks at 1 s, 2 s and 3 s: one that settles after 0.2 s, one that never shows, one that does
    not settle."""
    angle = [0.0] * 200
    angle[50:60] = [0.15, -0.12, 0.1, -0.1, 0.09, -0.08, 0.08, -0.07, 0.06, -0.06]
    angle[100:102] = [0.9 * SETTLED_RAD, 0.02]
    angle[150:] = [0.3] * 50
    first, second, third = kick_responses(trace(angle), [1_000_000, 2_000_000, 3_000_000])
    assert first == {"peak_rad": pytest.approx(0.15, abs=1e-3), "settling_s": 0.2}
    assert second == {"peak_rad": pytest.approx(0.045, abs=1e-3), "settling_s": 0.0}
    assert third == {"peak_rad": pytest.approx(0.3, abs=1e-3), "settling_s": None}
    assert kick_responses(trace([]), [1_000_000]) == [{"peak_rad": None, "settling_s": None}]
