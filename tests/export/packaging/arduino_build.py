"""A sketch and a library, compiled and linked with Debian's Arduino core as the IDE does it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.tools import need

CORE = Path("/usr/share/arduino/hardware/arduino/avr")
FLAGS = [
    *"-mmcu=atmega328p -Os -w -ffunction-sections -fdata-sections".split(),
    *"-DF_CPU=16000000L -DARDUINO=10819 -DARDUINO_AVR_UNO -DARDUINO_ARCH_AVR".split(),
    "-DDECIMAL_DIG=__DECIMAL_DIG__",  # avr-gcc 5 hides it from C++11
    f"-I{CORE}/cores/arduino",
    f"-I{CORE}/variants/standard",
]
C = ["avr-gcc", "-std=gnu11", *FLAGS]
CPP = ["avr-g++", "-std=gnu++11", "-fpermissive", "-fno-exceptions", *FLAGS]
CPP += ["-fno-threadsafe-statics"]


def need_arduino() -> None:
    need("avr-gcc", "avr-g++", "simavr")
    if not CORE.is_dir():
        stop = pytest.fail if os.environ.get("SPARSECTL_TOOLS") == "required" else pytest.skip
        stop(f"{CORE} is not there: apt install arduino-core-avr")


def build(libraries: list[Path], sketch: Path, folder: Path) -> Path:
    """The ELF of `sketch` with each library's src/, for an Arduino Uno."""
    include = [f"-I{library / 'src'}" for library in libraries]
    jobs = [[*C, str(path)] for path in sorted((CORE / "cores/arduino").glob("*.c"))]
    jobs += [[*CPP, str(path)] for path in sorted((CORE / "cores/arduino").glob("*.cpp"))]
    strict = [flag for flag in C if flag != "-w"]
    strict += ["-Wall", "-Wextra", "-Werror", *include]
    for library in libraries:
        sources = sorted((library / "src").glob("*.[cS]"))
        jobs += [[*strict, str(path)] for path in sources]
    jobs += [[*CPP, *include, "-x", "c++", "-include", "Arduino.h", str(sketch)]]
    objects = [folder / f"{index}.o" for index in range(len(jobs))]
    for job, output in zip(jobs, objects, strict=True):
        run([*job, "-c", "-o", str(output)])
    elf = folder / "sketch.elf"
    names = [str(path) for path in objects]
    run(["avr-gcc", "-mmcu=atmega328p", "-Wl,--gc-sections", "-o", str(elf), *names, "-lm"])
    return elf


def serial_output(elf: Path, seconds: float = 20) -> str:
    """The first two lines that the sketch prints in the emulator."""
    process = subprocess.Popen(
        ["simavr", "-m", "atmega328p", "-f", "16000000", str(elf)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        return process.stdout.readline() + process.stdout.readline()
    finally:
        process.kill()
        process.wait(seconds)


def run(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout
