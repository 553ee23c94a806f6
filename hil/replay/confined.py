"""Run the compilers and programs of a replay, each in a process without rights; see
`confinement`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.boards.board import FIRMWARE
from sparsectl.firmware_host.compiler import launched_by
from sparsectl.hil.replay.confinement import REFUSED

_START = (sys.executable, "-I", "-S", str(Path(__file__).with_name("confinement.py")))
STATIC = ("-static",)
"""Link statically, since a confined program cannot open shared libraries."""


@contextmanager
def confined_compilers(folder: Path) -> Iterator[None]:
    """Let compilers read their own files, the firmware's and those in `folder`, and write only
    there."""
    with launched_by(*_START, "compile", str(folder.resolve()), str(FIRMWARE.resolve())):
        yield


class ConfinedProgram:
    """A statically linked program with access to its pipe only. A context manager."""

    def __init__(self, program: Path) -> None:
        self._program = program.resolve()

    def __enter__(self) -> ConfinedProgram:
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            [*_START, "run", "/", "/", str(self._program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()  # nobody knows what it waits for
        self._process.communicate()

    def write(self, content: bytes) -> None:
        """Write all bytes to the program.

        Raises:
            UserError: the program has ended.
        """
        stream: IO[Any] | None = self._process.stdin
        assert stream is not None
        try:
            stream.write(content)
            stream.flush()
        except BrokenPipeError:
            raise self._died() from None

    def read(self, size: int) -> bytes:
        """Read `size` bytes of its output.

        Raises:
            UserError: the program has ended.
        """
        assert self._process.stdout is not None
        content = self._process.stdout.read(size)
        if len(content) != size:
            raise self._died()
        return content

    def _died(self) -> UserError:
        code = self._process.wait()
        if code == REFUSED:
            return UserError(
                "this machine gives no process without rights (seccomp, on x86-64 or 64-bit ARM), "
                "which a replay runs the policy in; replay on another"
            )
        return UserError(f"the replayed program ended with code {code}; export the policy again")
