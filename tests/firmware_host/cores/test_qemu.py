"""A second opinion: QEMU runs the same programs, to the same bits, in as many instructions."""

from __future__ import annotations

import re
import subprocess
from bisect import bisect
from pathlib import Path

import numpy as np
import pytest

from sparsectl.firmware_host.cores import CORES
from sparsectl.firmware_host.cores.bench_program import symbols
from sparsectl.firmware_host.cores.cortex_m import CortexM
from tests.firmware_host.cores.policies import float_policy
from tests.tools import need

VECTORS = 3
CALLERS = ("main", "bench_call")


@pytest.mark.parametrize("name", ["cortex-m0", "cortex-m3", "cortex-m4f", "cortex-m7"])
def test_cortex_m_agrees(name: str, tmp_path: Path) -> None:
    """The M0's code runs on QEMU's Cortex-M3, which has all its instructions."""
    need("arm-none-eabi-gcc", "qemu-system-arm")
    core = CORES[name]
    assert isinstance(core, CortexM)
    folder, policy = float_policy(tmp_path / "policy")
    observations, actions = policy.vectors(VECTORS)
    found = core.measure(folder, tmp_path, observations, 1)
    names = symbols(core, tmp_path / "bench.elf")
    command = ["qemu-system-arm", "-machine", core.qemu_machine]
    answer, counts = _run(command, tmp_path, observations, actions.nbytes, names)
    assert answer == actions.tobytes() == found.actions.tobytes()
    assert counts == list(found.instructions or ())


@pytest.mark.parametrize("name", ["rv32imac", "rv32imafc"])
def test_riscv_counts_what_ran(name: str, tmp_path: Path) -> None:
    need("riscv64-unknown-elf-gcc", "qemu-system-riscv32")
    core = CORES[name]
    folder, policy = float_policy(tmp_path / "policy")
    observations, _ = policy.vectors(VECTORS)
    found = core.measure(folder, tmp_path, observations, 1)
    names = symbols(core, tmp_path / "bench.elf")
    command = ["qemu-system-riscv32", "-machine", "virt", "-bios", "none"]
    _, counts = _run(command, tmp_path, observations, VECTORS * 12, names)
    assert counts == list(found.instructions or ())


def _run(
    command: list[str], folder: Path, observations: np.ndarray, wanted: int, names: dict[str, int]
) -> tuple[bytes, list[int]]:
    """Answer of the bench program in QEMU, and the instructions of each call of policy_act."""
    log = folder / "trace"
    options = ["-display", "none", "-monitor", "none", "-net", "none", "-singlestep"]
    options += ["-d", "exec,nochain", "-D", str(log), "-kernel", str(folder / "bench.elf")]
    options += ["-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line"]
    with subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        answer = b""
        for observation in observations:
            process.stdin.write(observation.tobytes())
            process.stdin.flush()
            answer += process.stdout.read(wanted // len(observations))
        process.kill()
    trace = re.findall(rb"\[[0-9a-f]+/0*([0-9a-f]+)/", log.read_bytes())
    return answer, _calls([int(at, 16) for at in trace], names)


def _calls(trace: list[int], names: dict[str, int]) -> list[int]:
    """Lengths of the runs from policy_act's first instruction to its return to the program."""
    addresses = sorted((at & ~1, name) for name, at in names.items())
    counts: list[int] = []
    inside = False
    for address in trace:
        if address == names["policy_act"] & ~1:
            counts.append(0)
            inside = True
        elif inside and addresses[bisect(addresses, (address, "~")) - 1][1] in CALLERS:
            inside = False
        counts[-1:] = [counts[-1] + 1] if inside else counts[-1:]
    return counts
