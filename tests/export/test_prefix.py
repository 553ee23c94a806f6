"""`--prefix`: several policies in one program, on a computer and on chips."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from sparsectl import cli
from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.naming import check_prefix, check_unused
from sparsectl.export.packaging.arduino import REQUIRED
from sparsectl.export.pipeline import export_policy
from sparsectl.policy.onnx_file.writer import write_onnx
from tests.export.packaging.arduino_build import build, need_arduino, run, serial_output
from tests.policy.graphs import random_graph
from tests.tools import need

BOTH = {"left": "stream-int16", "right": "straight-float32"}
"""Prefix to encoding; both have assembly, the one on AVR, the other on Cortex-M."""

REPLAY = """\
#include <string.h>
#include "left.h"
#include "left_vectors.h"
#include "right.h"
#include "right_vectors.h"

#define REPLAY(NAME, name) \\
    static unsigned name##_mismatches(void) \\
    { \\
        unsigned wrong = 0; \\
        for (unsigned row = 0; row < NAME##_VECTOR_COUNT; row++) { \\
            float given[NAME##_OBSERVATION_SIZE], action[NAME##_ACTION_SIZE]; \\
            for (unsigned i = 0; i < NAME##_OBSERVATION_SIZE; i++) { \\
                given[i] = NAME##_READ_FLOAT(&name##_vector_observation[row][i]); \\
            } \\
            name##_act(given, action); \\
            for (unsigned i = 0; i < NAME##_ACTION_SIZE; i++) { \\
                const float wanted = NAME##_READ_FLOAT(&name##_vector_action[row][i]); \\
                wrong += memcmp(&action[i], &wanted, sizeof wanted) != 0; \\
            } \\
        } \\
        return wrong; \\
    }

REPLAY(LEFT, left)
REPLAY(RIGHT, right)
"""

MAIN = REPLAY + "int main(void) { return (int)(left_mismatches() + right_mismatches()); }\n"

SKETCH = (
    "#include <Arduino.h>\n"
    + REPLAY
    + """
void setup()
{
    Serial.begin(115200);
    Serial.print(left_mismatches());
    Serial.print(F(" and "));
    Serial.println(right_mismatches());
    Serial.println(LEFT_DIGEST[0] == RIGHT_DIGEST[0] ? F("-") : F("two"));
}

void loop()
{
}
"""
)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """left/ and right/ as plain folders, arduino/left and arduino/right, cmake/left and …"""
    folder = tmp_path_factory.mktemp("both")
    for seed, (prefix, encoding) in enumerate(BOTH.items()):
        activations = ("relu", "relu", "tanh")
        graph = random_graph((4, 8, 6, 1 + seed), 0.5, seed, activations=activations)
        model = folder / f"{prefix}.onnx"
        limited = tuple(replace(signal, low=-4.0, high=4.0) for signal in graph.observation)
        write_onnx(replace(graph, observation=limited), model)
        config = ExportConfig(model, folder / prefix, encoding=encoding, prefix=prefix)
        config = replace(config, observations=100, vectors=8)
        export_policy(config)
        for package in ("arduino", "cmake", "platformio", "zephyr"):
            export_policy(replace(config, package=package, out=folder / package / prefix))
    return folder


def sources(folder: Path) -> list[str]:
    return [str(path) for name in BOTH for path in sorted((folder / name).glob(f"{name}.[cS]"))]


STRICT = "-std=c99 -O2 -Wall -Wextra -Wdouble-promotion -Wfloat-conversion -Werror".split()


def test_both_run_in_one_program(both: Path, tmp_path: Path) -> None:
    need("gcc")
    (tmp_path / "main.c").write_text(MAIN)
    include = [f"-I{both / name}" for name in BOTH]
    program = str(tmp_path / "main")
    run(["gcc", *STRICT, *include, str(tmp_path / "main.c"), *sources(both), "-o", program])
    run([program])


@pytest.mark.parametrize(
    ("compiler", "flags"),
    [
        ("arm-none-eabi-gcc", "-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16"),
        ("arm-none-eabi-gcc", "-mcpu=cortex-m0 -mthumb"),
        ("avr-gcc", "-mmcu=atmega2560"),
    ],
)
def test_both_link_for_chips(both: Path, tmp_path: Path, compiler: str, flags: str) -> None:
    need(compiler)
    (tmp_path / "main.c").write_text(MAIN)
    command = [compiler, *STRICT, *flags.split(), *(f"-I{both / name}" for name in BOTH)]
    command += ["--specs=nosys.specs"] if compiler.startswith("arm") else []
    elf = str(tmp_path / "main.elf")
    run([*command, str(tmp_path / "main.c"), *sources(both), "-o", elf])


def test_both_in_one_firmware_on_an_uno(both: Path, tmp_path: Path) -> None:
    need_arduino()
    sketch = tmp_path / "sketch.ino"
    sketch.write_text(SKETCH)
    elf = build([both / "arduino" / name for name in BOTH], sketch, tmp_path)
    assert "0 and 0." in serial_output(elf)


def test_both_in_one_cmake_project(both: Path, tmp_path: Path) -> None:
    need("cmake", "gcc")
    (tmp_path / "main.c").write_text(MAIN)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(mine C ASM)\n"
        + "".join(f'add_subdirectory("{both}/cmake/{name}" {name})\n' for name in BOTH)
        + "add_executable(mine main.c)\n"
        "target_link_libraries(mine PRIVATE sparsectl::left sparsectl::right)\n"
    )
    run(["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build")])
    run(["cmake", "--build", str(tmp_path / "build")])
    run([str(tmp_path / "build" / "mine")])


def test_packages_are_told_apart_by_their_names(both: Path) -> None:
    for name in BOTH:
        text = (both / "arduino" / name / "library.properties").read_text()
        fields = dict(line.split("=", 1) for line in text.splitlines())
        assert all(fields[key] for key in REQUIRED)
        assert fields["name"] == f"Sparsectl_{name.title()}" and fields["includes"] == f"{name}.h"
        manifest = json.loads((both / "platformio" / name / "library.json").read_text())
        assert manifest["name"] == f"sparsectl-{name}" and manifest["headers"] == f"{name}.h"
        kconfig = (both / "zephyr" / name / "zephyr" / "Kconfig").read_text()
        assert f"config SPARSECTL_{name.upper()}\n" in kconfig
        assert f"name: sparsectl_{name}" in (both / f"zephyr/{name}/zephyr/module.yml").read_text()
        assert json.loads((both / name / "policy.json").read_text())["prefix"] == name


NAMES = r"\b{}(?=_[A-Za-z0-9_]|\.[chS]\b)"


def test_no_name_of_the_default_is_left_and_nothing_else_changes(
    both: Path, tmp_path: Path
) -> None:
    for name, encoding in BOTH.items():
        out = tmp_path / name
        export_policy(
            ExportConfig(both / f"{name}.onnx", out, encoding=encoding, observations=100, vectors=8)
        )
        for path in sorted(both.glob(f"{name}/{name}*.[chS]")):
            text = path.read_text()
            assert not re.search(r"\b(policy|POLICY)_", text)
            plain = (out / path.name.replace(name, "policy")).read_text()
            upper = re.sub(NAMES.format("POLICY"), name.upper(), plain)
            assert text == re.sub(NAMES.format("policy"), name, upper)
            assert [len(line) for line in text.splitlines() if "digest" in line] == [
                len(line) for line in plain.splitlines() if "digest" in line
            ]


def test_an_earlier_prefix_leaves_no_file_of_its_own(both: Path, tmp_path: Path) -> None:
    config = ExportConfig(both / "left.onnx", tmp_path / "out", observations=50)
    for prefix in ("first", "policy", "second"):
        export_policy(replace(config, prefix=prefix))
        found = {path.name for path in config.out.glob("*.[ch]")}
        assert found == {f"{prefix}.c", f"{prefix}.h", f"{prefix}_vectors.h"}


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("", "--prefix is ''; give a C identifier"),
        ("2nd", "--prefix is '2nd'; give a C identifier"),
        ("left arm", "give a C identifier"),
        ("é", "give a C identifier"),
        ("../x", "give a C identifier"),
        ("a" * 25, "--prefix has 25 characters; give at most 24"),
        ("Math", "Math.h hides another header"),
    ],
)
def test_what_is_no_prefix(prefix: str, message: str, both: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        check_prefix(prefix)
    words = ["export", str(both / "left.onnx"), "--out", str(tmp_path / "o"), "--prefix", prefix]
    assert cli.run(words) == 2
    assert not (tmp_path / "o").exists()


def test_a_prefix_that_the_code_uses_is_refused() -> None:
    with pytest.raises(UserError, match="which the policy's own code uses"):
        check_unused("fixed", ["int policy_act;", "int fixed_act;"])
    check_unused("fixed", ["int policy_act;", "int fixed_sum;"])
    check_unused("policy", ["int policy_act;"])


def test_measuring_says_that_it_takes_the_plain_names(
    both: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["bench", str(both / "left"), "--board", "host"]) == 2
    assert "with --prefix left; to measure it, export it without" in capsys.readouterr().err
    assert cli.run(["build", str(both / "left"), "--rig", "qube_servo2"]) == 2
    assert "without --prefix" in capsys.readouterr().err
