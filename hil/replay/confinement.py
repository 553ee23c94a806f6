"""Runs a program without rights: `python -I confinement.py KIND FOLDER FOLDER COMMAND...`.

What lies beside a journal may be anybody's. KIND `compile` lets a compiler read its own files and
the second FOLDER, and write into the first, and nothing else (Landlock, Linux 5.13 or newer;
without it, limits alone). KIND `run` leaves a program, linked statically, nothing but its pipe: it
may read descriptor 0, write 1, take memory and end (seccomp); the folders do not matter. Both give
up all ways to more rights first (no_new_privs), so that no privilege is needed for it, and both
hold from before the program's first instruction.

It imports nothing of the project and stands on its own, so that it starts in no time. Sources: the
kernel's Documentation/userspace-api/{landlock,no_new_privs,seccomp_filter}.rst.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from pathlib import Path

REFUSED = 97
"""Exit code: the confinement cannot be had here."""

_libc = ctypes.CDLL(None, use_errno=True)

# --- Landlock: which files ----------------------------------------------------------------------
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Rights that a version of the interface knows, as the number of its lowest bits; 16 from 5 on."""
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE


def restrict_files(readable: list[Path], writable: list[Path]) -> bool:
    """Leave these folders to read (and to run programs from), those to write, and no TCP. Return
    False if the kernel does not support Landlock."""
    version = _libc.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    rights = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    handled = struct.pack("<QQQ", rights, 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _libc.syscall(_CREATE_RULESET, handled[:size], size, 0)
    if ruleset < 0:
        return False
    allowed = {path: _READ for path in readable} | {path: rights for path in writable}
    for path, wanted in allowed.items():
        if path.exists():
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            known = rights if path.is_dir() else rights & _OF_A_FILE
            rule = struct.pack("<Qi", wanted & known, place)
            if _libc.syscall(_ADD_RULE, ruleset, 1, rule, 0) != 0:
                return False
            os.close(place)
    return bool(_libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)


# --- seccomp: which system calls ----------------------------------------------------------------
_READ_CALL, _WRITE_CALL, _OTHERS = "read", "write", "others"
_CALLS = {
    # fstat lseek mmap mprotect munmap brk rt_sigreturn mremap execve exit uname arch_prctl futex
    # set_tid_address clock_gettime exit_group set_robust_list getrandom rseq
    "x86_64": (
        *(0xC000003E, 0, 1),
        (5, 8, 9, 10, 11, 12, 15, 25, 59, 60, 63, 158, 202, 218, 228, 231, 273, 318, 334),
    ),
    "aarch64": (
        *(0xC00000B7, 63, 64),
        (80, 62, 222, 226, 215, 214, 139, 216, 221, 93, 160, 98, 96, 113, 94, 99, 278, 293),
    ),
}
"""For each machine its AUDIT_ARCH, the numbers of read and write, and those of the calls that stay
free. execve is among these because it comes after: without open, whatever it starts finds no
library."""
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _KILL, _DENY = 0x7FFF0000, 0x80000000, 0x00050001
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16


def restrict_calls() -> bool:
    """Leave the calls of `_CALLS`; all others fail with EPERM. Return False if the kernel does not
    support it."""
    if platform.machine() not in _CALLS:
        return False
    architecture, read, write, others = _CALLS[platform.machine()]
    filters = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
    ]
    for call, descriptor in ((read, 0), (write, 1)):
        filters += [
            (_LOAD, 0, 0, _NUMBER),
            (_EQUAL, 0, 3, call),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_EQUAL, 0, 1, descriptor),
            (_RETURN, 0, 0, _ALLOW),
        ]
    filters.append((_LOAD, 0, 0, _NUMBER))
    for call in others:
        filters += [(_EQUAL, 0, 1, call), (_RETURN, 0, 0, _ALLOW)]
    filters.append((_RETURN, 0, 0, _DENY))
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *each) for each in filters))
    program = struct.pack("@HxxxxxxP", len(filters), ctypes.addressof(code))
    return bool(_libc.prctl(22, 2, program, 0, 0) == 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def _limit(**most: int) -> None:
    for name, value in most.items():
        kind = getattr(resource, f"RLIMIT_{name.upper()}")
        resource.setrlimit(kind, (value, value))


def main(kind: str, writable: str, readable: str, program: str, *arguments: str) -> int:
    """Confine this process, then become the program."""
    _libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    command = [program, *arguments]
    if kind == "compile":
        _limit(core=0, cpu=300, fsize=1 << 28, **{"as": 1 << 33})
        tools = [Path(name) for name in ("/usr", "/lib", "/lib64", "/bin", "/opt", "/nix/store")]
        restrict_files([*tools, Path(readable)], [Path(writable)])
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C", "TMPDIR": writable}
        os.execve(program, command, environment)
    _limit(core=0, cpu=600, fsize=0, nproc=0, **{"as": 1 << 30})
    restrict_files([Path(program)], [])
    if not restrict_calls():
        return REFUSED
    os.execve(program, command, {})


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
