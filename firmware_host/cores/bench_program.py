"""Build the program that runs a policy on a bare core, and measure what the policy adds to it."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.compiler import OUT_OF_ROOM, compile_object, find_compiler, link
from sparsectl.firmware_host.cores.core import FIRMWARE, WARNINGS, Core
from sparsectl.firmware_host.policy_folder import (
    read_policy_facts,
    sequence_flags,
    sequence_length,
)

BENCH: Final = FIRMWARE / "bench"
SECTION_FLAGS: Final = ("-ffunction-sections", "-fdata-sections")
NO_PLACES: Final = ("-fno-var-tracking",)
"""No debug information is written about the places of variables. The code is the same, and GCC
compiles a long function without branches in three quarters of the time."""

_CODE: Final = (".text", ".init", ".fini", ".vectors")
_TABLES: Final = (".rodata", ".ARM.exidx", ".eh_frame")
_DATA: Final = (".data",)
_ZEROED: Final = (".bss", ".noinit")


_FRAMES: dict[Hashable, tuple[dict[str, bytes], dict[str, int]]] = {}
_FRAMING = threading.Lock()


@dataclass(frozen=True)
class Port:
    """A core's part of the bench program: start-up code, serial line and linker script."""

    sources: tuple[Path, ...]
    link_flags: tuple[str, ...]
    libraries: tuple[str, ...] = ("-lm",)


@dataclass(frozen=True)
class Program:
    """A linked bench program."""

    elf: Path
    flash: dict[str, int]
    """Bytes per section that the policy adds: code, tables, data (RAM's image)."""
    ram_bytes: int
    """Static RAM that the policy adds."""


def build_program(core: Core, port: Port, policy: Path, folder: Path) -> Program:
    """Compile and link the policy's bench program and, to compare, one with an empty policy.

    Raises:
        UserError: no compiler, or it refuses.
    """
    include = (f"-I{policy.resolve()}", f"-I{BENCH}", *sequence_flags(sequence_length(policy)))
    frame, before = _frame(core, port, policy, folder, include)
    own = [
        _compile(core, policy / name, folder, (*WARNINGS, *include))
        for name in ("policy.c", "policy.S")
        if (policy / name).is_file()
    ]
    elf = _link_policy(core, port, policy, [*frame, *own], folder / "bench.elf")
    after = _sections(core, elf)
    added = {name: after[name] - before[name] for name in after}
    moved = _tables_in_code(core, own)
    code, tables = added["code"] - moved, added["tables"] + moved
    flash = {"code": code, "tables": tables, "data": added["data"]}
    _check_fit(core, policy, sum(flash.values()), added["data"] + added["zeroed"])
    return Program(elf, flash, added["data"] + added["zeroed"])


def _frame(
    core: Core, port: Port, policy: Path, folder: Path, include: tuple[str, ...]
) -> tuple[list[Path], dict[str, int]]:
    """Return the objects beside the policy's own, and the bytes of each kind of section in a
    program with an empty policy.

    Of policy.h they read the sizes alone, so that encodings of one policy share them.
    """
    facts = read_policy_facts(policy)
    sizes = (facts.observation_size, facts.action_size, facts.state_size)
    key = (find_compiler(core), core.flags, port, sizes, sequence_flags(sequence_length(policy)))
    with _FRAMING:
        if key not in _FRAMES:
            objects = [
                _compile(core, source, folder, (*WARNINGS, "-Wconversion", *include))
                for source in (BENCH / "bench.c", *port.sources)
            ]
            empty = _compile(core, BENCH / "empty.c", folder, (*WARNINGS, *include))
            elf = _link(core, port, [*objects, empty], folder / "empty.elf")
            contents = {path.name: path.read_bytes() for path in objects}
            _FRAMES[key] = contents, _sections(core, elf)
    contents, before = _FRAMES[key]
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents], before


def binutil(core: Core, name: str) -> str:
    """Return the path of a binary utility of the core's compiler: size, objdump, nm.

    Raises:
        UserError: it is not installed.
    """
    compiler = Path(find_compiler(core)).name
    prefix = compiler[: compiler.rfind("-") + 1] if "-" in compiler else ""
    path = shutil.which(prefix + name)
    if path is None:
        raise UserError(
            f"{prefix}{name} is missing beside {compiler}; install it: "
            f"apt-get install {core.compiler_package}"
        )
    return path


def symbols(core: Core, elf: Path) -> dict[str, int]:
    """Return the address of each symbol."""
    lines = _output([binutil(core, "nm"), str(elf)]).splitlines()
    rows = (line.split() for line in lines)
    return {row[2]: int(row[0], 16) for row in rows if len(row) == 3}


def flat_image(core: Core, elf: Path) -> bytes:
    """Return the program's memory image from its lowest address on."""
    image = elf.with_suffix(".bin")
    command = [binutil(core, "objcopy"), "-O", "binary", str(elf), str(image)]
    subprocess.run(command, check=True, capture_output=True)
    return image.read_bytes()


def _compile(core: Core, source: Path, folder: Path, flags: Sequence[str]) -> Path:
    out = folder / f"{source.stem}{source.suffix.replace('.', '_')}.o"
    is_gcc = Path(find_compiler(core)).name.endswith("gcc")
    compile_object(core, source, out, (*SECTION_FLAGS, *(NO_PLACES if is_gcc else ()), *flags))
    return out


def _link(core: Core, port: Port, objects: list[Path], out: Path) -> Path:
    flags = (*port.link_flags, "-Wl,--gc-sections")
    link(core, objects, out, flags, port.libraries)
    return out


def _link_policy(core: Core, port: Port, policy: Path, objects: list[Path], out: Path) -> Path:
    try:
        return _link(core, port, objects, out)
    except UserError as error:
        if not OUT_OF_ROOM.search(str(error)):
            raise
        raise UserError(
            f"{policy} does not fit the memory of {core.name}; keep fewer weights or choose "
            "another encoding"
        ) from error


def section_bytes(core: Core, path: Path) -> dict[str, int]:
    """Return the bytes of each section of an object or a program."""
    rows = map(str.split, _output([binutil(core, "size"), "-A", str(path)]).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[0].startswith(".")}


def _sections(core: Core, elf: Path) -> dict[str, int]:
    """Return the bytes of code, tables, data and zeroed RAM."""
    kinds = {"code": _CODE, "tables": _TABLES, "data": _DATA, "zeroed": _ZEROED}
    sizes = section_bytes(core, elf)
    return {kind: sum(sizes.get(name, 0) for name in names) for kind, names in kinds.items()}


def _tables_in_code(core: Core, objects: list[Path]) -> int:
    """Return the bytes of tables on AVR, whose linker puts constants among the code."""
    sizes = [section_bytes(core, path) for path in objects]
    return sum(size for each in sizes for n, size in each.items() if n.startswith(".progmem"))


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _check_fit(core: Core, policy: Path, flash: int, ram: int) -> None:
    for name, taken, there in (("flash", flash, core.flash_bytes), ("RAM", ram, core.ram_bytes)):
        if there is not None and taken > there:
            raise UserError(
                f"{policy} takes {taken} bytes of {name}, {core.name} has {there}; keep fewer "
                "weights or choose another encoding"
            )
