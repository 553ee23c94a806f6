from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.bench import bench
from sparsectl.firmware_host.config import BenchConfig
from tests.firmware_host.small_policy import SmallPolicy, small_policy
from tests.tools import need

KEYS = {"board", "encoding", "cycles", "cycles_kind", "instructions", "flash_bytes", "ram_bytes"}
KEYS |= {"stack_bytes", "max_abs_error", "clock_hz", "microseconds"}


def test_bench_on_the_host(policy_dir: Path, policy: SmallPolicy) -> None:
    result = bench(BenchConfig(policy_dir, runs=50))
    assert result.keys() >= KEYS
    json.dumps(result, allow_nan=False)
    assert (result["board"], result["digest"]) == ("host", policy.digest)
    assert (result["encoding"], result["max_abs_error"]) == ("dense", 0.0)
    assert 0 < result["microseconds"] <= result["median_microseconds"]
    assert result["flash_bytes"] > 4 * 208  # its weights alone
    assert result["cycles"] is None and "no cycle count" in result["note"]


def test_instructions_are_counted(policy_dir: Path) -> None:
    need("valgrind")
    first, second = (bench(BenchConfig(policy_dir, runs=1))["instructions"] for _ in range(2))
    assert first == second
    assert 2 * 208 < first < 100 * 208  # at least a multiplication and an addition a weight


def test_error_is_seen(tmp_path: Path) -> None:
    spoilt = small_policy(extra="action[0] += 0.125f;").write(tmp_path)
    assert bench(BenchConfig(spoilt, runs=1))["max_abs_error"] == pytest.approx(0.125, rel=1e-5)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"flash": 500}, "over --flash 500"),
        ({"ram": 0}, "over --ram 0"),
        ({"error": -1.0}, "over --error -1"),
        ({"cycles": 1000}, "--cycles 1000: board host cannot tell"),
        ({"board": "abacus"}, "no board 'abacus'"),
        ({"runs": 0}, "runs is 0"),
    ],
)
def test_limits_and_mistakes(policy_dir: Path, limit: dict[str, float], message: str) -> None:
    config = dataclasses.replace(BenchConfig(policy_dir, runs=1), **limit)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message):
        bench(config)


def test_non_finite_policy_is_refused(tmp_path: Path) -> None:
    spoilt = small_policy(extra="action[0] = 1e30f * 1e30f;").write(tmp_path)
    with pytest.raises(UserError, match="not finite"):
        bench(BenchConfig(spoilt, runs=1))
