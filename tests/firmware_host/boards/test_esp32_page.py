"""docs/esp32.md, as far as it compiles: its C as RISC-V, the board on an Arduino core."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sparsectl.firmware_host.boards.board import WARNINGS
from tests.export.packaging.arduino_build import CPP, need_arduino, run
from tests.hil.policies import EASY_RIG
from tests.tools import need

PAGE = (Path(__file__).parents[3] / "docs" / "esp32.md").read_text(encoding="utf-8")
RISCV = ["riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "-std=c11", "-Os"]
RISCV += ["--specs=picolibc.specs", "-ffreestanding", "-Werror", *WARNINGS]


@pytest.fixture(scope="module")
def project(easy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that the page's Python gathers from the page's files."""
    folder = tmp_path_factory.mktemp("esp32")
    (folder / "esp32").mkdir()
    for block in re.findall(r"^```c(?:pp)?\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        name = re.match(r"/\* (\S+) \*/", block)
        assert name is not None
        (folder / name.group(1)).write_text(block)
    [code] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    values: dict[str, Any] = {"POLICY": easy, "RIG": str(EASY_RIG)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(code, "docs/esp32.md", "exec"), values)
    return folder / "esp32_project"


def test_the_firmware_compiles_for_the_chip(project: Path, tmp_path: Path) -> None:
    need("riscv64-unknown-elf-gcc")
    sources = sorted((project / "src").glob("*.c"))
    assert {"firmware.c", "board_port.c", "policy.c", "safety.c"} <= {path.name for path in sources}
    for source in sources:
        command = [*RISCV, f"-I{project / 'src'}", "-c", str(source), "-o", str(tmp_path / "o")]
        subprocess.run(command, check=True)


def test_the_boards_file_compiles_on_an_arduino_core(project: Path, tmp_path: Path) -> None:
    need_arduino()
    source = project / "src" / "board.cpp"
    strict = [word for word in CPP if word not in ("-w", "-fpermissive")]
    flags = [*strict, "-Wall", "-Wextra", "-Werror", f"-I{project / 'src'}"]
    run([*flags, "-c", str(source), "-o", str(tmp_path / "board.o")])
