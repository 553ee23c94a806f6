"""Whole numbers in a file: drawn chains of operators act as in onnxruntime, and a division, which
truncates there, is refused wherever the numbers come from the observation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import NodeProto, TensorProto, helper

from sparsectl.common.errors import UserError
from sparsectl.policy.onnx_file.reader import read_onnx
from tests.policy.onnx_file.onnx_files import run_file, write_file

node = helper.make_node
KEEPING = ("Abs", "Neg", "Sign", "Max", "Min", "Clip", "Add", "Sub", "Mul", "Where")
WIDTH = 3


def chain(operators: list[str], ends: list[str]) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """Ten times the observation, cut to whole numbers; these operators; and `ends` to floats."""
    nodes = [
        node("Mul", ["observation", "ten"], ["scaled"]),
        node("Cast", ["scaled"], ["v0"], to=TensorProto.INT64),
    ]
    constants = {"ten": np.array(10, np.float32), "two": np.array(2), "least": np.array(-30)}
    others = {"Max": ["two"], "Min": ["two"], "Clip": ["least", "two"]}
    others |= dict.fromkeys(("Add", "Sub", "Mul", "Div"), ["two"])
    for index, name in enumerate([*operators, *ends]):
        value = f"v{index}"
        if name == "Where":
            nodes.append(node("Greater", [value, "two"], [f"over{index}"]))
            given = [f"over{index}", value, "least"]
        else:
            given = [value, *others.get(name, [])]
        nodes.append(node(name, given, [f"v{index + 1}"]))
    last = f"v{len(operators) + len(ends)}"
    return [*nodes, node("Cast", [last], ["action"], to=TensorProto.FLOAT)], constants


@given(st.lists(st.sampled_from(KEEPING), max_size=4), st.booleans())
def test_drawn_chains(
    tmp_path_factory: pytest.TempPathFactory, operators: list[str], divides: bool
) -> None:
    path = tmp_path_factory.mktemp("m") / "m.onnx"
    nodes, constants = chain(operators, ["Div"] if divides else [])
    write_file(path, nodes, constants, {"observation": ["batch", WIDTH]})
    if divides:
        with pytest.raises(UserError, match=r"\(Div\) .* divides whole numbers that come from"):
            read_onnx(path)
        return
    observations = np.random.default_rng(0).normal(size=(200, WIDTH)).astype(np.float32)
    assert np.array_equal(read_onnx(path).forward(observations), run_file(path, observations))


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceL2"])
def test_means_of_whole_numbers_are_refused(operator: str, tmp_path: Path) -> None:
    nodes, constants = chain([], [])
    nodes[-1:] = [
        node(operator, ["v0"], ["m"], axes=[1]),
        node("Cast", ["m"], ["action"], to=TensorProto.FLOAT),
    ]
    path = write_file(tmp_path / "m.onnx", nodes, constants, {"observation": ["batch", WIDTH]})
    with pytest.raises(UserError, match="of whole numbers; cast them to float before it"):
        read_onnx(path)


@pytest.mark.parametrize("operator", ["Dropout", "LayerNormalization"])
@pytest.mark.parametrize("is_read", [False, True])
def test_a_second_output_matters_where_it_is_read(
    operator: str, is_read: bool, tmp_path: Path
) -> None:
    more = ["gain"] if operator == "LayerNormalization" else []
    nodes = [node(operator, ["observation", *more], ["h", "second"])]
    if operator == "Dropout":
        nodes.append(node("Cast", ["second"], ["other"], to=TensorProto.FLOAT))
    else:
        nodes.append(node("Identity", ["second"], ["other"]))
    nodes.append(node("Add", ["h", "other" if is_read else "h"], ["action"]))
    constants = {"gain": np.ones(WIDTH, np.float32)} if more else {}
    path = write_file(tmp_path / "m.onnx", nodes, constants, {"observation": ["batch", WIDTH]})
    if is_read:
        with pytest.raises(UserError, match="its mask is used|its mean or deviation is used"):
            read_onnx(path)
        return
    observations = np.random.default_rng(0).normal(size=(50, WIDTH)).astype(np.float32)
    found = read_onnx(path).forward(observations)
    assert np.abs(found - run_file(path, observations)).max() < 1e-5
