"""Count instructions with valgrind on this machine, call by call, and those of activations.

Format: Callgrind Format Specification, in Valgrind's manual; written here without compression.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sparsectl.firmware_host.cores.activation_share import ACTIVATIONS, owners
from sparsectl.firmware_host.cores.core import Core

TIMEOUT_S: Final = 300.0
_OPTIONS: Final = (
    "--tool=callgrind",
    "--toggle-collect=policy_act",
    "--dump-after=policy_act",
    "--dump-instr=yes",
    "--compress-pos=no",
    "--compress-strings=no",
)


@dataclass(frozen=True)
class Profile:
    """Instruction counts of calls of policy_act, in order."""

    instructions: tuple[int, ...]
    activation_share: float


@dataclass(frozen=True)
class _Spent:
    """The instructions spent at an address of a function."""

    program: str
    function: str
    address: int
    count: int


def profile(core: Core, program: Path, observations: Path, folder: Path) -> Profile | None:
    """Run `program` once over the observations under valgrind; return None if valgrind is not
    installed."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    out = folder / "callgrind"
    command = [valgrind, *_OPTIONS, f"--callgrind-out-file={out}", str(program), "0"]
    subprocess.run(
        [*command, str(observations)], capture_output=True, check=True, timeout=TIMEOUT_S
    )
    calls = [list(_spent(path.read_text())) for path in _in_order(folder)]
    activations = owners(core, program).activations
    part: Counter[bool] = Counter()
    for spent in (each for call in calls for each in call):
        own = spent.program == str(program.resolve()) and spent.address in activations
        part[own or bool(ACTIVATIONS.match(spent.function))] += spent.count
    counts = tuple(sum(each.count for each in call) for call in calls)
    return Profile(counts, part[True] / part.total())


def _in_order(folder: Path) -> list[Path]:
    """Return callgrind.1, callgrind.2, and so on: one file per call."""
    return sorted(folder.glob("callgrind.*"), key=lambda path: int(path.suffix[1:]))


def _spent(text: str) -> Iterator[_Spent]:
    """Yield the costs of the functions themselves; the line after calls= belongs to the called
    function."""
    program = function = ""
    called = False
    for line in text.splitlines():
        if line.startswith("ob="):
            program = line[3:]
        elif line.startswith("fn="):
            function = line[3:]
        elif line.startswith("calls="):
            called = True
        elif re.match("0x[0-9a-f]+ ", line):
            address, _, count = line.split()
            if not called:
                yield _Spent(program, function, int(address, 16), int(count))
            called = False
