"""One compiler run for each object of a session: many tests build the firmware's same sources.

Where ccache is installed it starts the compilers, with an empty cache of the session's own, which
the workers share: the first test that needs an object has it compiled, the next ones find it.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack

import pytest

from sparsectl.common.scratch import scratch_folder
from sparsectl.firmware_host.compiler import LAUNCHER


class CompilerCache:
    """Plugin of the process that pytest was started in; its workers inherit the environment."""

    def __init__(self, program: str) -> None:
        self._stack = ExitStack()
        folder = self._stack.enter_context(scratch_folder("compiled"))
        os.environ[LAUNCHER] = program
        os.environ["CCACHE_DIR"] = str(folder)
        # An object is known by what is compiled: not by where, and not by when it was written.
        os.environ["CCACHE_NOHASHDIR"] = "1"
        os.environ["CCACHE_SLOPPINESS"] = "include_file_ctime,include_file_mtime"

    def pytest_unconfigure(self) -> None:
        self._stack.close()


def start(config: pytest.Config) -> None:
    """Cache from here on, unless whoever runs the tests has named a launcher."""
    program = shutil.which("ccache")
    if LAUNCHER not in os.environ and program is not None:
        config.pluginmanager.register(CompilerCache(program), "compiler cache")
