"""Record in Unicorn which blocks of a program run, by hooks in C.

A Python hook costs a thousand times what a block costs in the emulator, and it holds the
interpreter's lock, so that two programs could not run at a time.
"""

from __future__ import annotations

import ctypes
import subprocess
import threading
import weakref
from functools import cache
from typing import Final

import numpy as np
import unicorn
from numpy.typing import NDArray
from unicorn.unicorn_py3.unicorn import uclib

from sparsectl.common.errors import UserError
from sparsectl.common.scratch import scratch_folder
from sparsectl.firmware_host.compiler import find_compiler
from sparsectl.firmware_host.cores.core import FIRMWARE
from sparsectl.firmware_host.cores.host import HOST

SOURCE: Final = FIRMWARE / "emulation" / "block_trace.c"
_COMPILING = threading.Lock()


class _List(ctypes.Structure):
    _fields_ = (
        ("items", ctypes.c_void_p),
        ("count", ctypes.c_uint64),
        ("room", ctypes.c_uint64),
    )

    def values(self) -> NDArray[np.uint64]:
        """Return a copy of the items."""
        if not self.count:
            return np.empty(0, np.uint64)
        items = (ctypes.c_uint64 * self.count).from_address(self.items)
        found: NDArray[np.uint64] = np.array(items, np.uint64)
        return found


class _Trace(ctypes.Structure):
    _fields_ = (
        ("blocks", _List),
        ("flags", _List),
        ("read_register", ctypes.c_void_p),
        ("status_register", ctypes.c_int),
        ("is_full", ctypes.c_int),
    )


class BlockTrace:
    """The blocks that a machine has run since `clear`."""

    def __init__(self, machine: unicorn.Uc, status_register: int = 0) -> None:
        """Hook the machine's blocks. status_register: Unicorn's number of the register whose upper
        four bits are the flags that `watch` reads.

        Raises:
            UserError: there is no C compiler for this machine, or it refuses.
        """
        self._machine, self._library = machine, _library()
        read = ctypes.cast(uclib.uc_reg_read, ctypes.c_void_p)
        self._trace = _Trace(read_register=read.value, status_register=status_register)
        self._hook(unicorn.UC_HOOK_BLOCK, self._library.on_block, 1, 0)
        weakref.finalize(self, self._library.trace_free, ctypes.byref(self._trace))

    def watch(self, address: int) -> None:
        """Record the flags whenever the instruction at `address` is about to run."""
        self._hook(unicorn.UC_HOOK_CODE, self._library.on_instruction, address, address)

    def clear(self) -> None:
        """Discard what was recorded."""
        self._trace.blocks.count = self._trace.flags.count = 0

    @property
    def blocks(self) -> NDArray[np.uint64]:
        """Return each block that ran, in order: address | size << 32.

        Raises:
            MemoryError: there were more than fit into memory.
        """
        if self._trace.is_full:
            raise MemoryError
        blocks: NDArray[np.uint64] = self._trace.blocks.values()
        return blocks

    @property
    def flags(self) -> dict[int, dict[int, int]]:
        """Return the flags at watched addresses, by the place in `blocks` and the address."""
        found: dict[int, dict[int, int]] = {}
        for place, noted in self._trace.flags.values().reshape(-1, 2).tolist():
            found.setdefault(place, {})[noted & 0xFFFFFFFF] = noted >> 32
        return found

    def _hook(self, kind: int, function: ctypes._NamedFuncPointer, begin: int, end: int) -> None:
        # The binding's own hook_add wraps functions of Python; uc_hook_add takes any.
        status = uclib.uc_hook_add(
            self._machine._uch,
            ctypes.byref(ctypes.c_size_t()),
            kind,
            ctypes.cast(function, ctypes.c_void_p),
            ctypes.cast(ctypes.byref(self._trace), ctypes.c_void_p),
            ctypes.c_uint64(begin),
            ctypes.c_uint64(end),
        )
        if status != unicorn.UC_ERR_OK:
            raise unicorn.UcError(status)


def _library() -> ctypes.CDLL:
    with _COMPILING:  # once, also where several threads measure
        return _compiled()


@cache
def _compiled() -> ctypes.CDLL:
    compiler = find_compiler(HOST)
    with scratch_folder("trace") as folder:
        out = folder / "block_trace.so"
        command = [compiler, "-std=c99", "-O2", "-shared", "-fPIC", str(SOURCE), "-o", str(out)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if answer.returncode != 0:
            raise UserError(f"{compiler} does not compile {SOURCE.name}; install another compiler")
        return ctypes.CDLL(str(out))  # stays in memory when its file is gone
