"""On a machine that lacks a program, a test that comes to need it is skipped, with the reason.

What a test starts itself it names to `tests.tools.need`. Here is the rest: the searches for
compilers and tools of the package skip the test, where else they would refuse. Nothing is skipped
where SPARSECTL_TOOLS is `required` (CI), nor where the program is installed and a test has only
hidden it, so that the refusals have their tests.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable

import pytest

from sparsectl.common.errors import UserError
from sparsectl.export import host_c
from sparsectl.firmware_host import compiler, tools
from sparsectl.firmware_host.cores.core import ToolChain

_installed = shutil.which  # tests replace it
PATH = os.environ.get("PATH", os.defpath)


def skip_where_missing() -> None:
    """From here on; to be called before the modules are imported that search."""
    if os.environ.get("SPARSECTL_TOOLS") == "required":
        return
    for_board, for_this_machine, tool = (
        compiler.find_compiler,
        host_c.find_compiler,
        tools.find_tool,
    )

    def find_compiler(board: ToolChain) -> str:
        return _or_skip(lambda: for_board(board), board.compilers)

    compiler.find_compiler = find_compiler
    host_c.find_compiler = lambda: _or_skip(for_this_machine, host_c.COMPILERS)
    tools.find_tool = lambda name: _or_skip(lambda: tool(name), [name])


def _or_skip(search: Callable[[], str], names: Iterable[str]) -> str:
    try:
        return search()
    except UserError as error:
        if any(_installed(name, path=PATH) for name in names):
            raise
        pytest.skip(str(error))
