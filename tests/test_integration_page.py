"""`docs/integration.md`: its commands and its files, taken from the page, built and run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from sparsectl import cli
from sparsectl.policy.onnx_file.writer import write_onnx
from tests.export.packaging.arduino_build import run
from tests.policy.graphs import random_graph
from tests.policy.recurrent_policies import random_recurrent
from tests.tools import need

PAGE = (Path(__file__).parent.parent / "docs" / "integration.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(?:c|cpp|cmake)\n((?:/\*|//|#) (\w[\w.]*)\W.*?)```", re.DOTALL)
FILES = {name: text for text, name in BLOCK.findall(PAGE)}
ENCODINGS = {"left": "stream-int16", "right": "csr"}
"""Each policy in one, in place of a choice by measuring them all."""
STRICT = "-O2 -Wall -Wextra -Werror".split()

YOURS = """\
#include <avr/io.h>
#include <stdio.h>
#include "left.h"

void read_sensors(float observation[LEFT_OBSERVATION_SIZE]);
void drive_motor(const float action[LEFT_ACTION_SIZE]);
void motor_off(const char *why);

static int put(char byte, FILE *to)
{
    (void)to;
    while (!(UCSR0A & _BV(UDRE0))) {
    }
    UDR0 = (unsigned char)byte;
    return 0;
}

static FILE line = FDEV_SETUP_STREAM(put, NULL, _FDEV_SETUP_WRITE);

void read_sensors(float observation[LEFT_OBSERVATION_SIZE])
{
    for (unsigned i = 0; i < LEFT_OBSERVATION_SIZE; i++) {
        observation[i] = 0.25f;
    }
}

void drive_motor(const float action[LEFT_ACTION_SIZE])
{
    static unsigned calls;
    if (++calls == HANG_AT) {
        for (;;) {
        }
    }
    if (calls % 5 == 0) {
        fprintf(&line, "drove %u%s\\n", calls, action[0] == action[0] ? "" : " NaN");
    }
}

void motor_off(const char *why)
{
    UCSR0B = _BV(TXEN0);
    fprintf(&line, "off: %s\\n", why);
}
"""
"""What the page leaves to its reader."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, and the folders that its commands make."""
    need("avr-gcc", "simavr", "gcc")
    folder = tmp_path_factory.mktemp("page")
    for seed, name in enumerate(ENCODINGS):
        graph = random_graph((4, 8, 6, 1 + seed), 0.5, seed, activations=("relu", "relu", "tanh"))
        write_onnx(graph, folder / f"{name}.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in commands():
            encoding = ENCODINGS[words[words.index("--prefix") + 1]]
            shorter = ["--encoding", encoding, "--observations", "100", "--vectors", "4"]
            assert cli.run([*words, *shorter]) == 0
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "yours.c").write_text(YOURS)
    return folder


def commands() -> list[list[str]]:
    lines = re.findall(r"^sparsectl (export .*)$", PAGE, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def test_the_page_has_the_files_that_are_built_here() -> None:
    assert len(commands()) == 2
    assert FILES.keys() == {
        *("golden.h", "two.c", "CMakeLists.txt", "controller.cpp", "tick.c", "stack.c"),
        "recurrent.c",
    }


def test_two_policies_in_one_program(place: Path) -> None:
    (line,) = re.findall(r"^    (cc .*)$", PAGE, re.MULTILINE)
    command = [*shlex.split(line), *STRICT]
    subprocess.run(command, check=True, cwd=place)
    said = run([str(place / "two")])
    assert re.fullmatch(r"0 actions differ; digests [0-9a-f]{8} and [0-9a-f]{8}\n", said)


def test_two_pendulums_with_one_recurrent_policy(place: Path) -> None:
    write_onnx(random_recurrent((4,), actions=1), place / "both.onnx")
    words = f"export {place / 'both.onnx'} --out {place / 'both'} --prefix both --range=-1,1"
    assert cli.run([*words.split(), *"--encoding csr --observations 100 --vectors 4".split()]) == 0
    command = ["cc", "-std=c99", "-ffp-contract=off", *STRICT, f"-I{place / 'both'}"]
    sources = [str(place / "recurrent.c"), str(place / "both" / "both.c")]
    run([*command, *sources, "-o", str(place / "recurrent")])
    said = run([str(place / "recurrent")])
    assert said == "0 actions differ; first ticks agree, the second tick is another\n"


def test_two_cmake_targets(place: Path, tmp_path: Path) -> None:
    need("cmake")
    for name in ("two.c", "golden.h", "CMakeLists.txt"):
        shutil.copy(place / name, tmp_path)
    for name, encoding in ENCODINGS.items():
        words = (
            f"export {place / name}.onnx --out {tmp_path / name} --prefix {name} --package cmake"
        )
        shorter = f"--encoding {encoding} --observations 100 --vectors 4 --range=-1,1"
        assert cli.run(f"{words} {shorter}".split()) == 0
    run(["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build")])
    run(["cmake", "--build", str(tmp_path / "build")])
    assert run([str(tmp_path / "build" / "two")]).startswith("0 actions differ")


def test_cpp_and_the_check_of_the_stack(place: Path) -> None:
    need("g++", "avr-gcc")
    include = [f"-I{place / 'left'}", "-c"]
    run(["g++", "-std=c++98", *STRICT, *include, str(place / "controller.cpp"), "-o", "/dev/null"])
    compiler = ["avr-gcc", "-mmcu=atmega328p", "-std=c11", *STRICT, *include]
    run([*compiler, str(place / "stack.c"), "-o", "/dev/null"])
    small = (place / "stack.c").read_text().replace("_BYTES 1024", "_BYTES 200")
    (place / "small.c").write_text(small)
    refused = [*compiler, str(place / "small.c"), "-o", "/dev/null"]
    found = subprocess.run(refused, capture_output=True, text=True)
    assert found.returncode != 0 and "give the task a larger stack" in found.stderr


@pytest.mark.parametrize(
    ("hang_at", "lines"),
    [
        (0, ["off: start", "drove 5", "drove 10"]),
        (7, ["off: start", "drove 5", "off: start", "off: a tick did not end"]),
    ],
)
def test_the_tick_runs_on_an_atmega328p(
    place: Path, tmp_path: Path, hang_at: int, lines: list[str]
) -> None:
    """A tick that hangs ends in the watchdog's reset, which says so and stays off."""
    elf = tmp_path / "tick.elf"
    sources = [place / "tick.c", place / "yours.c", *sorted((place / "left").glob("left.[cS]"))]
    flags = f"-mmcu=atmega328p -std=gnu99 -DF_CPU=16000000UL -DHANG_AT={hang_at}".split()
    paths = [str(path) for path in sources]
    run(["avr-gcc", *flags, *STRICT, f"-I{place / 'left'}", *paths, "-o", str(elf)])
    process = subprocess.Popen(
        ["simavr", "-m", "atmega328p", "-f", "16000000", str(elf)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        reported: list[str] = []
        for line in process.stdout:
            plain = re.sub(r"\x1b\[[0-9;]*m", "", line).strip().rstrip(".")
            reported += [plain] if re.match("off|drove", plain) else []
            if len(reported) == len(lines):
                break
        assert reported == lines
    finally:
        process.kill()
        process.wait(20)
