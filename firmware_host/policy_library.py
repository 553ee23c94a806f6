"""Build an exported policy as a shared library of this machine, which runs it in host mode.

It is compiled from the policy's own C and from the firmware's observation code, so its outputs are
those of a board, bit for bit.
"""

from __future__ import annotations

import ctypes
import math
from pathlib import Path
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.common.files import write_json
from sparsectl.firmware_host.boards import find_board
from sparsectl.firmware_host.boards.board import FIRMWARE, WARNINGS
from sparsectl.firmware_host.build import SUMMARY, check_fit, new_folder
from sparsectl.firmware_host.compiler import compile_object, link
from sparsectl.firmware_host.config_header import config_header
from sparsectl.firmware_host.policy_folder import read_policy_facts
from sparsectl.plants.rig_constants import RigConstants

CORE: Final = ("angle", "golden", "observation")
LIBRARY_PARTS: Final = ("host_policy", "library_port")
LIBRARY: Final = "policy.so"
PROGRAM: Final = "policy"


class PolicyLibrary:
    """A policy with its history of observations and, if it is recurrent, its state."""

    def __init__(self, path: Path) -> None:
        """Load the library that `build_policy_library` compiled."""
        self._c = ctypes.CDLL(str(path.resolve()))
        self._c.host_policy_digest.restype = ctypes.c_char_p
        self._c.host_policy_size.restype = ctypes.c_size_t
        self._c.host_policy_error.restype = ctypes.c_float
        self._c.host_policy_act.restype = ctypes.c_float
        self._c.host_policy_act.argtypes = [
            *(ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32, ctypes.c_uint32),
            ctypes.POINTER(ctypes.c_uint32),
        ]
        self._memory = ctypes.create_string_buffer(self._c.host_policy_size())
        self._c.host_policy_init(self._memory)
        self._inference_ns = ctypes.c_uint32()

    @property
    def digest(self) -> str:
        """The policy's digest, 64 hexadecimal digits."""
        return bytes(self._c.host_policy_digest()).decode("ascii")

    def check_golden_vectors(self) -> None:
        """Replay the golden vectors that came with the policy.

        Raises:
            UserError: an output differs from the exporter's in any bit.
        """
        error = float(self._c.host_policy_error())
        if error != 0.0 or math.isnan(error):
            raise UserError(
                f"a golden vector differs on this machine by {error:.3g}; export the policy "
                "again, or report this compiler"
            )

    def reset(self) -> None:
        """Discard the history: the next counts fill it, with no velocity."""
        self._c.host_policy_reset(self._memory)

    def begin(self) -> None:
        """Prepare for the policy to take over the motor: a recurrent policy resets its state."""
        self._c.host_policy_begin(self._memory)

    def act(self, base_count: int, pole_count: int, periods: int) -> tuple[float, int]:
        """Return the output (an exact float32) for raw counts from home, and the policy's time in
        ns.

        Args:
            base_count: of the base's encoder.
            pole_count: of the pole's encoder; 0 hangs.
            periods: nominal control periods since the counts before.
        """
        output = self._c.host_policy_act(
            self._memory, base_count, pole_count, periods, ctypes.byref(self._inference_ns)
        )
        return float(output), self._inference_ns.value


def build_policy_library(policy_dir: Path, rig: RigConstants, out: Path) -> PolicyLibrary:
    """Compile ``out/policy.so`` and load it; an earlier one there is replaced.

    Raises:
        UserError: no compiler, policy files missing or foreign, or a policy for another rig.
    """
    return PolicyLibrary(_build(policy_dir, rig, out, LIBRARY, (), ("-fPIC",), ("-shared",)))


def build_policy_program(
    policy_dir: Path, rig: RigConstants, out: Path, link_flags: tuple[str, ...] = ()
) -> Path:
    """Compile ``out/policy``, which answers through its pipe (see firmware/library/policy_pipe.c),
    and return its path.

    Raises:
        UserError: no compiler, policy files missing or foreign, or a policy for another rig.
    """
    pipe = (FIRMWARE / "library" / "policy_pipe.c",)
    return _build(policy_dir, rig, out, PROGRAM, pipe, (), link_flags)


def _build(
    policy_dir: Path,
    rig: RigConstants,
    out: Path,
    name: str,
    more_sources: tuple[Path, ...],
    flags: tuple[str, ...],
    link_flags: tuple[str, ...],
) -> Path:
    board = find_board("host")
    policy = read_policy_facts(policy_dir)
    check_fit(policy, rig, policy_dir)
    with new_folder(out) as folder:
        (folder / "firmware_config.h").write_text(config_header(rig, policy, board))
        includes = [
            f"-I{path.resolve()}" for path in (folder, policy_dir, FIRMWARE / "core", FIRMWARE)
        ]
        sources = [FIRMWARE / "core" / f"{part}.c" for part in CORE]
        sources += [FIRMWARE / "library" / f"{part}.c" for part in LIBRARY_PARTS]
        sources += [policy_dir / "policy.c", *more_sources]
        objects = [folder / f"{source.stem}.o" for source in sources]
        for source, path in zip(sources, objects, strict=True):
            compile_object(board, source, path, (*WARNINGS, *includes, *flags))
        link(board, objects, folder / name, link_flags)
        for path in objects:
            path.unlink()
        write_json(folder / SUMMARY, {"library": str(out / name), "digest": policy.digest})
    return out / name
