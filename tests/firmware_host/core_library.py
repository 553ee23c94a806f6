"""The firmware's core as a shared library for ctypes, with undefined behaviour made fatal."""

from __future__ import annotations

import ctypes
import math
import struct
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsectl.firmware_host.boards import find_board
from sparsectl.firmware_host.boards.board import FIRMWARE, WARNINGS
from sparsectl.firmware_host.compiler import find_compiler
from sparsectl.firmware_host.config_header import config_header
from sparsectl.plants.rig_constants import RigConstants
from sparsectl.policy.folder import PolicyFacts

RIG = RigConstants(
    base_unit_per_count=9e-5,
    pole_rad_per_count=2 * math.pi / 4170,
    base_limit=0.198,
    period_us=20_000,
    max_duty=1.0,
    base_rate_limit=2.0,
    pole_rate_limit=60.0,
)
"""The SensorsINI cart-pole's scaling and limits."""

MODULES = ("angle", "clock_watch", "crc32", "frame", "motion", "observation", "safety")
STRICT = (
    "-Wpedantic",
    "-Wconversion",
    "-Werror",
    "-fsanitize=undefined",
    "-fno-sanitize-recover=all",
)


class Core:
    """The core's functions, by their names in core_shim.c and the core's headers."""

    def __init__(self, folder: Path, rig: RigConstants = RIG) -> None:
        host = find_board("host")
        policy = PolicyFacts(25, 1, 5, 5, 20_000, 0, "00" * 32, None)
        (folder / "firmware_config.h").write_text(config_header(rig, policy, host))
        library = folder / "core.so"
        sources = [FIRMWARE / "core" / f"{name}.c" for name in MODULES]
        command = [find_compiler(host), *host.flags, *WARNINGS, *STRICT, "-shared", "-fPIC"]
        command += [f"-I{folder}", f"-I{FIRMWARE / 'core'}", "-o", str(library)]
        shim = Path(__file__).parent / "core_shim.c"
        subprocess.run([*command, *map(str, sources), str(shim)], check=True)
        self.c = ctypes.CDLL(str(library))
        self.c.shim_receive.restype = ctypes.c_size_t
        self.c.frame_build.restype = ctypes.c_size_t
        self.c.crc32.restype = ctypes.c_uint32
        self.c.shim_observe.restype = ctypes.POINTER(ctypes.c_float)
        self.c.shim_safety_drive.restype = ctypes.c_float
        self.c.shim_safety_drive.argtypes = [ctypes.c_float, ctypes.c_float]

    def receive(self, data: bytes) -> list[tuple[int, int, int, bytes]]:
        """Feed the receiver; gives (type, flags, sequence, payload) of each good frame."""
        room = 2 * len(data) + 1024
        out = ctypes.create_string_buffer(room)
        size = self.c.shim_receive(data, ctypes.c_size_t(len(data)), out, ctypes.c_size_t(room))
        frames, at = [], 0
        while at < size:
            length, kind, flags, sequence = struct.unpack_from("<HBBH", out.raw, at)
            frames.append((kind, flags, sequence, out.raw[at + 6 : at + 6 + length]))
            at += 6 + length
        return frames

    def receiver_counts(self) -> list[int]:
        """Frames ok, corrupt, overlong."""
        counts = (ctypes.c_uint32 * 3)()
        self.c.shim_receiver_counts(counts)
        return list(counts)

    def build(self, kind: int, sequence: int, payload: bytes) -> bytes:
        """A whole frame as the board sends it."""
        out = ctypes.create_string_buffer(1024)
        size = self.c.frame_build(out, kind, sequence, payload, len(payload))
        return out.raw[:size]

    def sin_cos(self, name: str, values: NDArray[np.generic]) -> NDArray[np.float32]:
        """Sine and cosine, [2, n], by shim_pole (int32 counts) or shim_sin_cos (uint32 phases)."""
        out = np.empty((2, len(values)), np.float32)
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (values, out[0], out[1])]
        getattr(self.c, name)(pointers[0], ctypes.c_size_t(len(values)), *pointers[1:])
        return out

    def observe(
        self, base_count: int, pole_count: int, frames: int, periods: int = 1
    ) -> list[float]:
        """Add a frame; gives the whole history."""
        return list(self.c.shim_observe(base_count, pole_count, periods)[: frames * 5])
