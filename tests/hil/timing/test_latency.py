from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.hil.config import TrialConfig
from sparsectl.hil.journal.header import JournalHeader
from sparsectl.hil.journal.journal import Journal, Kind, Record
from sparsectl.hil.timing.clock_sync import ClockRelation
from sparsectl.hil.timing.computation import Computation
from sparsectl.hil.timing.latency import SEGMENTS, Latency, latencies, summarise
from sparsectl.hil.trial.trial import run_trial
from sparsectl.plants.rig import load_rig
from sparsectl.protocol.wire import PROTOCOL_HASH, State, encode

RIG = load_rig("sensorsini_cartpole")
SEGMENT = st.integers(1, 5000)
SAMPLE = {"base_count": 0, "pole_count": 0, "state": int(State.ACTIVE), "fault": 0}


HEADER = JournalHeader(
    protocol_hash=PROTOCOL_HASH,
    config=TrialConfig(Path("policy"), mode="host"),
    virtual=True,
    digest="0" * 64,
    signals={"observation": [{"name": "angle"}], "action": [{"name": "duty"}]},
    rig=RIG.name,
    rig_constants=RIG.firmware_constants(),
    provenance={},
)


def relation_of(drift_ppm: float) -> ClockRelation:
    return ClockRelation(1_000, 5_000_000_000, drift_ppm, 10.0, 16, 4)


class Life:
    """Writes the records of ticks whose segments are known, by a board whose clock drifts."""

    def __init__(self, drift_ppm: float) -> None:
        self.relation = relation_of(drift_ppm)
        self.records: list[Record] = []

    def frame(self, host_ns: int, name: str, to_host: bool, **values: object) -> None:
        content = encode(name, 0, to_host=to_host, **values)
        kind = Kind.FROM_DEVICE if to_host else Kind.TO_DEVICE
        self.records.append(Record(kind, host_ns, content[1:-1]))

    def host_tick(self, tick: int, us: dict[str, int]) -> None:
        sampled_us = 2_000 + tick * 20_000
        heard_ns = self.relation.host_ns(sampled_us + us["sensing"]) + us["up"] * 1000
        start_ns = heard_ns + us["hand_over"] * 1000
        end_ns = start_ns + us["compute"] * 1000
        sent_ns = end_ns + us["sending"] * 1000
        receive_us = self.device_us(sent_ns + us["down"] * 1000) - sampled_us
        sample = {"tick": tick, "sample_time_us": sampled_us, **SAMPLE}
        self.frame(heard_ns, "OBSERVATION", True, transmit_us=us["sensing"], **sample)
        done = Computation(tick, start_ns, end_ns)
        self.records.append(Record(Kind.COMPUTATION, end_ns, done.pack()))
        command = {"output": 0.0, "inference_ns": 1, "time_to_live": 2}
        self.frame(sent_ns, "COMMAND", False, tick=tick, **command)
        self.frame(
            sent_ns + 1,
            "TICK",
            True,
            **{**sample, "duty": 0.0, "policy_output": 0.0, "inference_ns": 1, "lateness_us": 0},
            receive_us=receive_us,
            actuation_us=receive_us + us["actuating"],
            skipped=0,
        )

    def device_us(self, host_ns: int) -> int:
        elapsed_us = (host_ns - self.relation.host_origin_ns) / 1000
        return round(1_000 + elapsed_us / (1 + self.relation.drift_ppm * 1e-6))

    def latencies(self) -> list[Latency]:
        journal = Journal(HEADER.to_json(), self.records, 0)
        return list(latencies(journal, self.relation))


@given(
    st.lists(st.fixed_dictionaries(dict.fromkeys(SEGMENTS, SEGMENT)), min_size=1, max_size=20),
    st.floats(-200, 200),
)
def test_each_segment_is_found_and_their_sum_is_the_whole(
    ticks: list[dict[str, int]], drift_ppm: float
) -> None:
    life = Life(drift_ppm)
    for number, us in enumerate(ticks):
        life.host_tick(number, us)
    found = life.latencies()
    assert [each.tick for each in found] == list(range(len(ticks)))
    for each, us in zip(found, ticks, strict=True):
        for name in SEGMENTS:
            # whole microseconds on the board, and what its clock drifts in 20 ms
            assert getattr(each, name) == pytest.approx(us[name], abs=1.5 + 4.0), name
    summary = summarise(found, life.relation)
    assert summary is not None
    assert summary["sum_within_20_us"] == 1.0 and summary["ticks"] == len(ticks)
    assert summary["wire_never_negative"] == 1.0


def test_a_stamp_at_the_wrong_place_shows_in_the_sum() -> None:
    life = Life(0.0)
    life.host_tick(1, dict.fromkeys(SEGMENTS, 100))
    (each,) = life.latencies()
    astray = Latency(**{**{f: getattr(each, f) for f in each.__slots__}, "down": each.down + 30})
    summary = summarise([each] * 999 + [astray], life.relation)
    assert summary is not None
    assert summary["sum_within_20_us"] == 0.999 and summary["sum_error_max"] == pytest.approx(30, 1)


def test_a_wrong_clock_relation_shows_on_the_wire() -> None:
    life = Life(0.0)
    life.host_tick(1, dict.fromkeys(SEGMENTS, 100))
    wrong = ClockRelation(1_000, 5_000_000_000 + 150_000, 0.0, 10.0, 16, 4)
    journal = Journal(HEADER.to_json(), life.records, 0)
    summary = summarise(list(latencies(journal, wrong)), wrong)
    assert summary is not None
    assert summary["wire_never_negative"] == 0.0 and summary["sum_within_20_us"] == 1.0
    assert summary["up"] is None and summary["down"] is None  # no way takes less than no time
    assert summary["sensing"] is not None and summary["end_to_end"] is not None


def test_without_a_tick_there_is_nothing_to_say() -> None:
    assert summarise([], relation_of(0.0)) is None


@pytest.mark.parametrize("mode", ["device", "host"])
def test_a_trial_accounts_for_its_ticks(
    short: Callable[..., TrialConfig], mode: str, tmp_path: Path
) -> None:
    result = run_trial(short(clock="realtime", mode=mode, link_timeout_ticks=10))
    found = result["latency_us"]
    assert 0 < found["ticks"] <= result["ticks"]
    assert found["sum_within_20_us"] >= 0.999
    assert (found["compute"] is None) == (mode == "device")
    assert found["end_to_end"]["p50"] >= found["sensing"]["p50"]
    assert result["clock_relation"]["error_us"] > 0
