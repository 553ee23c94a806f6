"""Assembly on the core that it is for: the bits of the numpy reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.c_writer import c_files
from export.encodings.registry import encode
from export.graph import PolicyGraph
from firmware_host.cores import find_core
from tests.export.graphs import observations, random_graph
from tests.tools import need

CASES = [
    ("straight-float32", "cortex-m4f", "arm-none-eabi-gcc"),
    ("packed-int8", "cortex-m4f", "arm-none-eabi-gcc"),
    ("packed-int8", "cortex-m3", "arm-none-eabi-gcc"),
    ("stream-int16", "atmega328p", "avr-gcc"),
    ("straight-int8", "atmega328p", "avr-gcc"),
]

GRAPHS = {
    "sparse": random_graph((4, 30, 25, 2), 0.15, 1),
    "one hidden layer": random_graph((3, 9, 1), 0.5, 2),
    "empty rows": random_graph((4, 12, 10, 8, 3), 0.1, 3, action_map=True),
}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize(("encoding", "core", "compiler"), CASES)
def test_the_bits_of_numpy(
    encoding: str, core: str, compiler: str, graph: PolicyGraph, tmp_path: Path
) -> None:
    need(compiler)
    if compiler == "avr-gcc":
        need("simavr")
    x = observations(graph, 12)
    policy = encode(encoding, graph, x)
    assert policy.assembly
    for name, text in c_files(policy, x[:1], "r").items():
        (tmp_path / name).write_text(text)
    build = tmp_path / "build"
    build.mkdir()
    found = find_core(core).measure(tmp_path, build, x, 1).actions
    assert np.array_equal(found.view(np.uint32), policy.forward(x).view(np.uint32))
