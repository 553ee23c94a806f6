"""Packages: each is laid out as its tool documents it, and its example builds and runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import kconfiglib
import pytest
import yaml

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.packaging.arduino import CATEGORY, REQUIRED
from sparsectl.export.packaging.registry import PACKAGES, find_package
from sparsectl.export.pipeline import export_policy
from sparsectl.policy.load import load
from sparsectl.policy.onnx_file.writer import write_onnx
from tests.export.packaging.arduino_build import build, need_arduino, run, serial_output
from tests.policy.graphs import random_graph
from tests.tools import need


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each package of one policy with several activations, an output map and limits."""
    folder = tmp_path_factory.mktemp("packages")
    activations = ("silu", "gelu", "tanh")
    graph = random_graph((4, 16, 12, 2), 0.4, activations=activations, action_map=True)
    write_onnx(graph, folder / "model.onnx")
    for name in PACKAGES:
        out = folder / name
        result = export_policy(
            ExportConfig(folder / "model.onnx", out, package=name, observations=200)
        )
        found = sorted(str(path) for path in out.rglob("*") if path.is_file())
        assert sorted(result["files"]) == found
    return {name: folder / name for name in PACKAGES}


@pytest.mark.parametrize("name", PACKAGES)
def test_each_holds_the_same_c_and_the_policy(name: str, packages: dict[str, Path]) -> None:
    plain, package = packages["plain"], packages[name]
    for file in ("policy.h", "policy.c"):
        (copy,) = package.rglob(file)
        assert copy.read_text() == (plain / file).read_text()
    assert load(package).digest == load(plain).digest


def test_the_arduino_library_has_what_the_specification_requires(
    packages: dict[str, Path],
) -> None:
    folder = packages["arduino"]
    lines = (folder / "library.properties").read_text().splitlines()
    fields = dict(line.split("=", 1) for line in lines)
    assert all(fields.get(name) for name in REQUIRED)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}", fields["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", fields["version"])
    assert fields["category"] == CATEGORY and fields["architectures"] == "*"
    assert (folder / "src" / fields["includes"]).is_file()
    (sketch,) = (folder / "examples").rglob("*.ino")
    assert sketch.stem == sketch.parent.name


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("arduino", "examples/GoldenVectors/GoldenVectors.ino"),
        ("platformio", "examples/golden_vectors/src/main.cpp"),
    ],
)
def test_the_sketch_repeats_the_golden_vectors_on_an_uno(
    name: str, example: str, packages: dict[str, Path], tmp_path: Path
) -> None:
    need_arduino()
    folder = packages[name]
    said = serial_output(build([folder], folder / example, tmp_path))
    assert "actions that differ from the golden vectors: 0." in said
    assert "us: " in said


def test_the_platformio_manifest_has_what_the_registry_requires(
    packages: dict[str, Path],
) -> None:
    folder = packages["platformio"]
    manifest = json.loads((folder / "library.json").read_text())
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,99}", manifest["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
    assert len(manifest["description"]) <= 255 and manifest["keywords"]
    assert (folder / "src" / manifest["headers"]).is_file()
    for example in manifest["examples"]:
        assert all((folder / example["base"] / file).is_file() for file in example["files"])


def test_platformio_reads_both_manifests(packages: dict[str, Path]) -> None:
    """By its own parser and schema, which take Arduino's library.properties too."""
    parser = pytest.importorskip("platformio.package.manifest.parser").ManifestParserFactory
    schema = pytest.importorskip("platformio.package.manifest.schema").ManifestSchema()
    for name, file in (("platformio", "library.json"), ("arduino", "library.properties")):
        fields = parser.new_from_file(str(packages[name] / file)).as_dict()
        manifest = schema.load_manifest(fields)
        assert manifest["headers"] == ["policy.h"] and manifest["platforms"] == ["*"]
        assert "4 observations and 2 actions" in manifest["description"]


def test_the_cmake_target_builds_and_its_test_passes(
    packages: dict[str, Path], tmp_path: Path
) -> None:
    need("cmake", "gcc")
    folder = packages["cmake"]
    run(["cmake", "-S", str(folder), "-B", str(tmp_path), "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror"])
    run(["cmake", "--build", str(tmp_path)])
    said = run(["ctest", "--test-dir", str(tmp_path), "--output-on-failure"])
    assert "100% tests passed, 0 tests failed out of 1" in said


def test_the_cmake_target_is_linked_by_another_project(
    packages: dict[str, Path], tmp_path: Path
) -> None:
    need("cmake", "gcc")
    (tmp_path / "main.c").write_text(
        '#include "policy.h"\nint main(void) { float o[POLICY_OBSERVATION_SIZE] = {0.0f};\n'
        "float a[POLICY_ACTION_SIZE]; policy_act(o, a); return a[0] == a[0] ? 0 : 1; }\n"
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(mine C)\n"
        f'add_subdirectory("{packages["cmake"]}" policy)\nadd_executable(mine main.c)\n'
        "target_link_libraries(mine PRIVATE sparsectl::policy)\n"
    )
    run(["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build")])
    run(["cmake", "--build", str(tmp_path / "build")])
    run([str(tmp_path / "build" / "mine")])


ZEPHYR_STAND_IN = """\
cmake_minimum_required(VERSION 3.20)
project(stand_in C)
set(CONFIG_SPARSECTL_POLICY {chosen})
function(zephyr_library)
  add_library(module STATIC)
endfunction()
function(zephyr_library_sources)
  foreach(source ${{ARGN}})
    target_sources(module PRIVATE ${{CMAKE_CURRENT_SOURCE_DIR}}/${{source}})
  endforeach()
endfunction()
function(zephyr_library_compile_options)
  target_compile_options(module PRIVATE ${{ARGN}})
endfunction()
function(zephyr_include_directories)
  include_directories(${{ARGN}})
endfunction()
add_subdirectory("{module}" module)
if(CONFIG_SPARSECTL_POLICY)
  add_executable(app "{sample}/src/main.c")
  target_include_directories(app PRIVATE "{module}/../src")
  target_link_libraries(app PRIVATE module)
endif()
"""


def test_the_zephyr_module_as_far_as_it_goes_without_the_sdk(
    packages: dict[str, Path], tmp_path: Path
) -> None:
    """YAML and Kconfig by their parsers; CMake with stand-ins for Zephyr's functions."""
    need("cmake", "gcc")
    folder = packages["zephyr"]
    module = yaml.safe_load((folder / "zephyr/module.yml").read_text())
    place = folder / module["build"]["cmake"]
    assert module["name"] and (place / "CMakeLists.txt").is_file()
    kconfig = kconfiglib.Kconfig(str(folder / module["build"]["kconfig"]), warn_to_stderr=False)
    assert not kconfig.warnings
    assert kconfig.syms["SPARSECTL_POLICY"].type == kconfiglib.BOOL
    sample = folder / module["samples"][0] / "golden_vectors"
    kconfig.load_config(str(sample / "prj.conf"))
    assert kconfig.syms["SPARSECTL_POLICY"].str_value == "y"
    tests = yaml.safe_load((sample / "sample.yaml").read_text())["tests"]
    (settings,) = tests.values()
    for chosen in ("OFF", "ON"):
        text = ZEPHYR_STAND_IN.format(chosen=chosen, module=place, sample=sample)
        (tmp_path / "CMakeLists.txt").write_text(text)
        run(["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build")])
        run(["cmake", "--build", str(tmp_path / "build")])
    said = run([str(tmp_path / "build" / "app")])
    assert re.match(settings["harness_config"]["regex"][0], said)


def test_an_unknown_package_and_what_is_left_of_an_earlier_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="package 'conan' is not known; use one of plain, arduino"):
        find_package("conan")
    write_onnx(random_graph((3, 4, 1)), tmp_path / "model.onnx")
    out = tmp_path / "out"
    export_policy(ExportConfig(tmp_path / "model.onnx", out, observations=50))
    (out / "mine.c").write_text("int mine;\n")
    export_policy(ExportConfig(tmp_path / "model.onnx", out, package="arduino", observations=50))
    assert not (out / "policy.c").exists() and (out / "src/policy.c").is_file()
    assert (out / "mine.c").is_file()
