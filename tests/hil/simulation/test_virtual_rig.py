from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.build import build_firmware
from sparsectl.hil.simulation.plant_server import ANSWER, REQUEST, PlantStart, serve
from sparsectl.hil.simulation.virtual_rig import VirtualRig
from sparsectl.plants.rig import load_rig
from tests.hil.policies import RIG
from tests.hil.test_interruption import all_end, children_of


def answers(requests: list[tuple[int, float]], start: PlantStart) -> list[tuple[int, int]]:
    """What a served plant replies to requests of (time_ns, duty)."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve, args=(start.make(), theirs))
    thread.start()
    found = []
    for request in requests:
        ours.sendall(REQUEST.pack(*request))
        base_count, pole_count, *_ = ANSWER.unpack(ours.recv(ANSWER.size))
        found.append((base_count, pole_count))
    ours.close()
    thread.join()
    theirs.close()
    return found


def test_the_plant_follows_the_firmwares_clock_and_duty() -> None:
    start = PlantStart(RIG, 3, randomised=False)
    ticks = [(1_000_000_000 + tick * 20_000_000, 1.0) for tick in range(10)]
    counts = answers(ticks, start)
    plant = start.make()
    expected = []
    for tick in range(10):
        plant.advance(0.02 if tick else 0.0)
        plant.set_duty(1.0)
        expected.append(plant.counts())
    assert counts == expected
    assert counts[0] == (0, 0) and counts[-1][0] > 100


def test_time_that_stands_still_or_a_mad_duty_moves_nothing() -> None:
    requests = [(5, 0.0), (5, float("nan")), (10**9, float("inf")), (10**8, 0.0), (2 * 10**9, 0.0)]
    assert answers(requests, PlantStart(RIG, 0, randomised=False)) == [(0, 0)] * 5


def test_the_plant_hangs_still_for_homing() -> None:
    for seed in range(5):
        seconds = [(second * 10**8, 0.0) for second in range(100)]
        counts = answers(seconds, PlantStart(RIG, seed, randomised=True))
        assert len(set(counts)) == 1


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("#!/bin/sh\nexit 3\n", "the firmware ended at once with code 3"),
        ("#!/bin/sh\necho hello\n", "opened no port; build it again"),
        (None, "cannot start .*: No such file"),
    ],
)
def test_a_firmware_that_does_not_start_gets_one_line(
    tmp_path: Path, program: str | None, complaint: str
) -> None:
    path = tmp_path / "firmware"
    if program:
        path.write_text(program)
        path.chmod(0o755)
    rig = VirtualRig(path, "realtime", PlantStart(RIG, 0, False))
    with pytest.raises(UserError, match=complaint):
        rig.__enter__()
    assert not rig._children


def test_a_rig_that_is_not_there_gets_one_line(tmp_path: Path) -> None:
    rig = VirtualRig(tmp_path / "firmware", "realtime", PlantStart("nonsense", 0, False))
    with pytest.raises(UserError, match="the simulated plant ended at once with code 1"):
        rig.__enter__()
    assert not rig._children


STARTS_AND_WAITS = """
import sys, time
from pathlib import Path
from sparsectl.hil.simulation.plant_server import PlantStart
from sparsectl.hil.simulation.virtual_rig import VirtualRig
with VirtualRig(Path(sys.argv[1]), "realtime", PlantStart(sys.argv[2], 0, False)):
    print("started", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux' setpriv is not installed")
def test_a_rig_ends_with_a_host_that_is_killed_before_it_opens_the_port(
    timid: Path, firmware: Path
) -> None:
    built = build_firmware(timid, "host", load_rig(RIG).firmware_constants(), firmware)
    host = subprocess.Popen(
        [sys.executable, "-c", STARTS_AND_WAITS, built["elf"], RIG],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert host.stdout is not None and host.stdout.readline() == "started\n"
    helpers = children_of(host.pid)
    assert len(helpers) == 2  # firmware and plant
    host.kill()
    host.communicate()
    assert all_end(helpers)
