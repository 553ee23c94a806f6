"""Compile the project's own programs around simavr's library, each once per process."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.common.scratch import scratch_folder
from sparsectl.firmware_host.tools import TOOLS

_HEADER: Final = Path("/usr/include/simavr/sim_avr.h")


def write_simavr_program(compiler: str, source: Path, out: Path) -> None:
    """Compile and link `source` as `out` with a compiler for this machine.

    Raises:
        UserError: no simavr to link with.
    """
    out.write_bytes(_compiled(compiler, source))
    out.chmod(0o755)


@cache
def _compiled(compiler: str, source: Path) -> bytes:
    with scratch_folder("simavr") as folder:
        program = folder / "program"
        command = [compiler, "-std=gnu99", "-O2", str(source), "-o", str(program)]
        answer = subprocess.run(
            [*command, "-lsimavr", "-lelf", "-lm"], capture_output=True, text=True, timeout=60
        )
        if answer.returncode != 0:
            missing = "" if _HEADER.is_file() else " is not installed"
            raise UserError(
                f"simavr's library{missing or ' does not link'}; get it: sudo apt install "
                f"{TOOLS['simavr']}"
            )
        return program.read_bytes()
