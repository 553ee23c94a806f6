"""Tests in real time are tried again where the machine was late, and fail where it was not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparsectl.common.errors import UserError
from tests.hil import busy
from tests.hil.busy import Machine, in_real_time


def late(number: int) -> int:
    raise UserError("the board stopped the trial: LINK_LOST (it heard nothing)")


@pytest.fixture
def pressure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record of the system's in which nothing waits, and no thread that oversleeps."""
    record = tmp_path / "cpu"
    record.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=5000000\nfull avg10=0.00\n")
    monkeypatch.setattr(busy, "PRESSURE", record)
    monkeypatch.setattr(busy, "MOST_OVERSLEEP_S", 60.0)
    return record


def test_what_happens_thrice_on_a_calm_machine_is_a_defect(pressure: Path) -> None:
    tried: list[int] = []

    def run(number: int) -> int:
        tried.append(number)
        return late(number)

    with (
        pytest.warns(UserWarning, match=r"cut short \(waits for a processor: 0%"),
        pytest.raises(AssertionError, match="'LINK_LOST' 3 times on a calm machine"),
    ):
        in_real_time(run)
    assert tried == [0, 1, 2]


def test_a_late_machine_is_given_all_tries(pressure: Path) -> None:
    tried: list[int] = []

    def run(number: int) -> int:
        tried.append(number)
        waited_us = (1 + number) * 3_600 * 10**6
        pressure.write_text(f"some avg10=9.00 avg60=0.00 avg300=0.00 total={waited_us}\n")
        return late(number) if number < busy.TRIES - 1 else number

    with pytest.warns(UserWarning, match="cut short"):
        assert in_real_time(run) == busy.TRIES - 1
    assert tried == list(range(busy.TRIES))


def test_another_reason_is_not_tried_again(pressure: Path) -> None:
    def run(number: int) -> int:
        raise UserError("the base is not in the middle")

    with pytest.raises(UserError, match="not in the middle"):
        in_real_time(run)


@pytest.mark.skipif(not busy.PRESSURE.is_file(), reason="the system keeps no record of pressure")
def test_processes_that_wait_for_a_processor_are_seen() -> None:
    """More of them than this machine has processors."""
    spin = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(spin) for _ in range(2 * (os.cpu_count() or 1) + 1)]
    try:
        with Machine() as machine:
            time.sleep(0.5)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert not machine.was_calm


def test_a_system_without_the_record_is_not_called_calm(
    pressure: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressure.unlink()
    with Machine() as machine:
        pass
    assert machine.pressure is None and not machine.was_calm
