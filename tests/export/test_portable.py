"""`--portable`: C99 and C++98 without unions, #pragma, assembly and hexadecimal floats; the same
bits."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sparsectl.export.c_style import CStyle
from sparsectl.export.c_writer import C_FILES, c_files
from sparsectl.export.config import ExportConfig
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.encodings.registry import ENCODINGS, FIXED, encode
from sparsectl.export.golden import golden_vectors
from sparsectl.export.packaging.example import c_main
from sparsectl.export.pipeline import export_policy
from sparsectl.firmware_host.cores import CORES
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from sparsectl.policy.onnx_file.writer import write_onnx
from tests.policy.graphs import observations, random_graph
from tests.tools import need

WARNINGS = ["-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-pedantic-errors", "-Werror"]
LANGUAGES = {"gcc": ["-std=c99"], "g++": ["-std=c++98", "-x", "c++"]}


def every_use_of_bits() -> PolicyGraph:
    """Of all that looks at a float's bits; logarithms and roots of numbers over 0."""
    random = np.random.default_rng(7)

    def layer(outputs: int, inputs: int, activation: str, over_0: bool = False) -> Layer:
        weight = random.normal(0, 0.5, (outputs, inputs)) * (random.random((outputs, inputs)) < 0.7)
        bias = random.normal(0, 0.3, outputs)
        if over_0:
            weight, bias = np.abs(weight), np.abs(bias) + 0.1
        return Layer(weight.astype(np.float32), bias.astype(np.float32), activation)

    layers = (
        layer(8, 5, "sigmoid"),
        layer(7, 8, "square_root", over_0=True),
        layer(6, 7, "logarithm", over_0=True),
        layer(6, 6, "sine"),
        layer(6, 6, "softplus"),
        layer(3, 6, "tanh"),
    )
    return PolicyGraph(
        layers, tuple(Signal(f"o{i}") for i in range(5)), tuple(Signal(f"a{i}") for i in range(3))
    )


def encoded(encoding: str) -> tuple[EncodedPolicy, Float32]:
    graph = every_use_of_bits()
    if encoding in FIXED:
        graph = random_graph((5, 8, 6, 3), 0.7, 3, activations=("sigmoid", "cosine", "tanh"))
    x = observations(graph, 20)
    return encode(encoding, graph, x), x


def written(policy: EncodedPolicy, x: Float32, folder: Path) -> Path:
    for name, text in c_files(
        policy, golden_vectors(policy, x), "r", style=CStyle(portable=True)
    ).items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("compiler", LANGUAGES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_both_languages_give_the_golden_vectors(
    encoding: str, compiler: str, tmp_path: Path
) -> None:
    need(compiler)
    policy, x = encoded(encoding)
    written(policy, x, tmp_path)
    (tmp_path / "main.c").write_text(c_main(CStyle()))
    program = str(tmp_path / "main")
    files = [str(tmp_path / name) for name in ("policy.c", "main.c")]
    command = [compiler, *LANGUAGES[compiler], *WARNINGS, *files, "-o", program]
    subprocess.run(command, check=True)
    said = subprocess.run([program], capture_output=True, text=True).stdout
    assert said.startswith(f"0 of {policy.forward(x).size} actions differ")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_not_in_it(encoding: str, tmp_path: Path) -> None:
    folder = written(*encoded(encoding), tmp_path)
    assert not (folder / "policy.S").exists()
    code = re.sub(r"/\*.*?\*/", "", (folder / "policy.c").read_text(), flags=re.DOTALL)
    assert not re.search(r"\bunion\b|^\s*#\s*pragma|_Pragma|\basm\b|0x[0-9a-f.]+p", code, re.M)


@pytest.mark.parametrize(
    ("encoding", "core"),
    [
        ("csr", "cortex-m4f"),
        ("straight-float32", "cortex-m4f"),
        ("straight-int16", "cortex-m3"),
        ("stream-int16", "atmega328p"),
    ],
)
def test_cores_give_the_same_bits(encoding: str, core: str, tmp_path: Path) -> None:
    """Of encodings that have assembly or a chip's own instructions there, too."""
    need("avr-gcc" if core.startswith("atmega") else "arm-none-eabi-gcc")
    if core.startswith("atmega"):
        need("simavr")
    policy, x = encoded(encoding)
    (tmp_path / "scratch").mkdir()
    found = CORES[core].measure(written(policy, x, tmp_path), tmp_path / "scratch", x, 1)
    assert np.array_equal(found.actions.view(np.uint32), policy.forward(x).view(np.uint32))


def test_an_export_says_that_it_is_portable(tmp_path: Path) -> None:
    write_onnx(random_graph((4, 6, 2), 0.8, 1), tmp_path / "model.onnx")
    config = ExportConfig(
        tmp_path / "model.onnx",
        tmp_path / "out",
        encoding="straight-float32",
        observations=100,
        portable=True,
    )
    result = export_policy(config)
    assert result["portable"] and result["bit_exact"]
    assert json.loads((config.out / "policy.json").read_text())["portable"]
    assert {path.name for path in config.out.glob("policy*.[chS]")} == {*C_FILES} - {"policy.S"}
    assert "Portable: no union" in (config.out / "policy.c").read_text()
