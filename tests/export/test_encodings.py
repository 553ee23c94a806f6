"""Every registered encoding, on any graph: the C gives the bits of its reference."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.export.c_style import CStyle
from sparsectl.export.c_writer import c_files
from sparsectl.export.encodings.registry import ENCODINGS, FIXED, encode
from sparsectl.export.golden import golden_vectors
from sparsectl.export.host_c import run_c
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.passes import fold_normaliser, simplify
from tests.policy.graphs import graphs, observations, random_graph


def same_bits(graph: PolicyGraph, name: str, x: np.ndarray, *, are_met: bool = False) -> None:
    try:
        policy = encode(name, graph, x, are_met=are_met)
    except UserError as error:  # some encodings take only so many weights or inputs
        assert f"encoding {name!r}" in str(error) and "choose" in str(error)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for file, text in c_files(policy, golden_vectors(policy, x[:1]), "r").items():
            (folder / file).write_text(text)
        found = run_c(folder, x, graph.action_size, folder)
    expected = policy.forward(x)
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("name", ENCODINGS)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(graph=graphs(max_width=20, max_layers=4))
def test_any_graph(name: str, graph: PolicyGraph) -> None:
    same_bits(fold_normaliser(graph), name, observations(graph))


@pytest.mark.parametrize("name", FIXED)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(graph=graphs(max_width=12, max_layers=4))
def test_any_graph_settled(name: str, graph: PolicyGraph) -> None:
    graph = simplify(graph)
    same_bits(graph, name, observations(graph), are_met=True)


@pytest.mark.parametrize("name", ENCODINGS)
@settings(max_examples=3, deadline=None, derandomize=True)
@given(graph=graphs(max_width=20, max_layers=6))
def test_any_simplified_graph(name: str, graph: PolicyGraph) -> None:
    same_bits(simplify(graph), name, observations(graph))


WIDE_EXAMPLES = int(os.environ.get("SPARSECTL_WIDE_EXAMPLES", "2"))
"""More of them take minutes: each is a program."""


@st.composite
def wide_graphs(draw: st.DrawFn) -> PolicyGraph:
    """1 to 6 layers of 1 to 300 neurons, sparse enough that a program of constants compiles."""
    widths = tuple(draw(st.lists(st.integers(1, 300), min_size=2, max_size=7)))
    places = sum(a * b for a, b in zip(widths, widths[1:], strict=False))
    assume(places <= 60_000)
    kept = min(1.0, draw(st.integers(0, 2_500)) / places)
    return random_graph(widths, kept, draw(st.integers(0, 2**32 - 1)), normalised=True)


@pytest.mark.parametrize("name", ENCODINGS)
@settings(max_examples=WIDE_EXAMPLES, deadline=None, derandomize=True)
@given(graph=wide_graphs())
def test_any_wide_graph(name: str, graph: PolicyGraph) -> None:
    same_bits(simplify(graph), name, observations(graph, 20))


@pytest.mark.parametrize("name", ENCODINGS)
def test_widths_around_8_bits(name: str) -> None:
    for widths in ((255, 20, 1), (256, 20, 1), (257, 60, 1), (4, 300, 2)):
        graph = random_graph(widths, 0.05)
        same_bits(graph, name, observations(graph, 20))


@pytest.mark.parametrize("name", ENCODINGS)
def test_extreme_observations(name: str) -> None:
    graph = random_graph((6, 20, 2), 1.0)
    tiny, large = np.float32(1e-42), np.float32(3e38)
    x = np.array([[tiny] * 6, [-tiny] * 6, [large, -large] * 3, [0.0, -0.0] * 3], np.float32)
    same_bits(graph, name, x[[0, 1, 3]])
    same_bits(random_graph((6, 2), 1.0), name, x)


def test_columns_take_16_bits_only_where_a_layer_needs_them() -> None:
    narrow, wide = random_graph((256, 4, 1), 0.1), random_graph((257, 4, 1), 0.1)
    x = np.zeros((1, 256), np.float32)
    small, large = encode("csr", narrow, x), encode("csr", wide, x)
    assert "typedef uint8_t policy_column" in small.write(CStyle()).functions
    assert "typedef uint16_t policy_column" in large.write(CStyle()).functions
    rows = 5
    assert small.table_bytes == narrow.kept_weights * 5 + rows * (4 + 1)
    assert large.table_bytes == wide.kept_weights * 6 + rows * (4 + 1)
    assert encode("dense", narrow, x).table_bytes == 4 * (256 * 4 + 4 + 4 + 1)


def chosen(name: str, graph: PolicyGraph) -> str:
    return encode(name, graph, observations(graph)).encoding.name


def test_auto_takes_the_smaller_tables() -> None:
    assert chosen("auto", random_graph((30, 30, 1), 0.1)) == "csr"
    assert chosen("auto", random_graph((30, 30, 1), 1.0)) == "dense"
    assert chosen("dense", random_graph((30, 30, 1), 0.1)) == "dense"


def test_an_unknown_encoding_is_named() -> None:
    known = ", ".join(["auto", *ENCODINGS])
    with pytest.raises(UserError, match=f"encoding 'zip' is not known; use {known}"):
        chosen("zip", random_graph((2, 1)))
