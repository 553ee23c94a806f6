"""Assembly on the core that it is for: the bits of the numpy reference."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.export.c_style import CStyle
from sparsectl.export.c_writer import c_files
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.encodings.registry import ENCODINGS, encode
from sparsectl.export.golden import golden_vectors
from sparsectl.firmware_host.cores import CORES, find_core
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.passes import fold_normaliser, simplify
from tests.policy.graphs import graphs, observations, random_graph
from tests.tools import need

CASES = [
    ("straight-float32", "cortex-m4f", "arm-none-eabi-gcc"),
    ("blocks-skip", "cortex-m4f", "arm-none-eabi-gcc"),
    ("packed-int8", "cortex-m4f", "arm-none-eabi-gcc"),
    ("packed-int8", "cortex-m3", "arm-none-eabi-gcc"),
    ("dense-int16", "cortex-m4f", "arm-none-eabi-gcc"),
    ("dense-int8", "cortex-m7", "arm-none-eabi-gcc"),
    ("stream-int16", "atmega328p", "avr-gcc"),
    ("straight-int8", "atmega2560", "avr-gcc"),  # 300 neurons a layer are over the 328P's memory
]

EXAMPLES = int(os.environ.get("SPARSECTL_CORE_EXAMPLES", "3"))
"""More of them take minutes: each is compiled for the core and run there."""


@st.composite
def relu_graphs(draw: st.DrawFn, encoding: str) -> PolicyGraph:
    """Any graph that the encoding has assembly for: empty rows, all zero, one neuron, 1 to 6
    layers of 1 to 300 (as wide as the encoding takes)."""
    inputs = {"straight-int8": 4, "stream-int16": 128}.get(encoding, 300)
    widest = {"stream-int16": 128}.get(encoding, 300)
    hidden = draw(st.lists(st.integers(1, widest), min_size=encoding != "blocks-skip", max_size=5))
    widths = (draw(st.integers(1, inputs)), *hidden, draw(st.integers(1, 6)))
    places = sum(a * b for a, b in zip(widths, widths[1:], strict=False))
    graph = random_graph(
        widths,
        min(1.0, draw(st.integers(0, 1_200)) / places),
        draw(st.integers(0, 2**32 - 1)),
        normalised=draw(st.booleans()),
        action_map=draw(st.booleans()),
    )
    return draw(st.sampled_from([fold_normaliser, simplify]))(graph)


@pytest.mark.parametrize(("encoding", "core", "compiler"), CASES)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, phases=[Phase.generate])
@given(data=st.data())
def test_the_bits_of_numpy(encoding: str, core: str, compiler: str, data: st.DataObject) -> None:
    need(compiler)
    if compiler == "avr-gcc":
        need("simavr")
    graph = data.draw(relu_graphs(encoding))
    x = observations(graph, 12)
    policy = encode(encoding, graph, x)
    assert policy.assembly or len(graph.layers) == 1  # all that simplify left
    with tempfile.TemporaryDirectory() as scratch:
        found = actions_on(core, policy, x, Path(scratch))
    assert np.array_equal(found.view(np.uint32), policy.forward(x).view(np.uint32))


ANYWHERE = [(name, core) for name in ENCODINGS for core in CORES]


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, phases=[Phase.generate])
@given(graph=graphs(max_width=20, max_layers=4), place=st.sampled_from(ANYWHERE))
def test_every_core_gives_the_bits_of_numpy(graph: PolicyGraph, place: tuple[str, str]) -> None:
    """Of any encoding, assembly or C."""
    need("arm-none-eabi-gcc", "avr-gcc", "simavr", "riscv64-unknown-elf-gcc", "qemu-system-riscv32")
    encoding, core = place
    folded = fold_normaliser(graph)
    x = observations(folded, 12)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            policy = encode(encoding, folded, x)
            found = actions_on(core, policy, x, Path(scratch))
        except UserError as error:
            assert re.search("fit the memory|bytes of flash|takes at most", str(error))
            return
    assert np.array_equal(found.view(np.uint32), policy.forward(x).view(np.uint32))


def actions_on(core: str, policy: EncodedPolicy, x: np.ndarray, folder: Path) -> np.ndarray:
    for name, text in c_files(policy, golden_vectors(policy, x[:1]), "r").items():
        (folder / name).write_text(text)
    build = folder / "build"
    build.mkdir()
    return find_core(core).measure(folder, build, x, 1).actions


BLOCK_GRAPHS = {
    "whole blocks and what is left over": random_graph((4, 43, 40, 3), 1.0, 4, action_map=True),
    "several tables a layer": random_graph((3, 256, 61, 1), 0.8, 5),
    "relu and others": random_graph(
        (5, 21, 20, 19, 2), 1.0, 6, activations=("relu", "tanh", "relu", "relu")
    ),
    "one layer": random_graph((6, 2), 1.0, 7),
}


@pytest.mark.parametrize("graph", BLOCK_GRAPHS.values(), ids=BLOCK_GRAPHS)
def test_blocks_of_rows(graph: PolicyGraph, tmp_path: Path) -> None:
    need("arm-none-eabi-gcc")
    x = observations(graph, 12)
    x[0], x[1], x[2, 0], x[3, 0], x[4] = 0.0, -0.0, 0.0, np.inf, -1e30
    x[5, 0], x[6, 0] = np.nan, -np.float32(np.nan)
    policy = encode("blocks-skip", graph, x)
    expected, found = policy.forward(x), actions_on("cortex-m4f", policy, x, tmp_path)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    numbers = ~np.isnan(expected)
    assert np.array_equal(found[numbers].view(np.uint32), expected[numbers].view(np.uint32))


ONE_ROW_A_COLUMN = """\
3:  ldr r8, [r6], #4
    vldmia r5!, {s0}
    mla r8, r8, r4, r0
    vldmia r8!, {s2}
    vmul.f32 s2, s2, s0
    vadd.f32 s12, s12, s2
    subs r7, r7, #1
    bne 3b
"""


def test_exact_assembly_of_blocks() -> None:
    policy = encode("blocks-skip", BLOCK_GRAPHS["several tables a layer"], np.zeros((1, 3)))
    assert policy.assembly
    text = policy.assembly(CStyle())
    assert re.findall(r"^    cmp r2, #(\d+)\n    bhs (\S+)$", text, re.M) == [
        ("20", ".Lrows20"),
        ("16", ".Lrows16"),
        ("1", ".Lrows1"),
    ]
    assert ONE_ROW_A_COLUMN in text
    assert text.count("    vldmia r11!, {s2-s11}\n") == 2 + 1
    assert text.count("    vldmia r11!, {s2-s7}\n") == 1
