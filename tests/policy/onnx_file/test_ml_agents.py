"""Files as Unity's ML-Agents writes them: several inputs, constants and sampled actions beside the
deterministic ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.policy.onnx_file.reader import read_onnx
from tests.policy.onnx_file.onnx_files import mlp

node = helper.make_node
CONTINUOUS, DISCRETE = "deterministic_continuous_actions", "deterministic_discrete_actions"
INPUTS = {"obs_0": 4, "obs_1": 2}
BRANCHES = (3, 2)


def continuous() -> list[NodeProto]:
    """The mean, and what is drawn around it, both clipped to ± 3 and divided by 3."""
    nodes = [
        node("RandomNormalLike", ["mu"], ["noise"]),
        node("Add", ["mu", "noise"], ["drawn"]),
    ]
    for value, made in (("drawn", "continuous_actions"), ("mu", CONTINUOUS)):
        nodes.append(node("Clip", [value, "low", "high"], [f"{made}.clipped"]))
        nodes.append(node("Div", [f"{made}.clipped", "high"], [made]))
    return nodes


def discrete() -> list[NodeProto]:
    """A choice from each branch, among those that action_masks allows."""
    nodes = [node("MatMul", ["mu", "choices"], ["logits"])]
    for part in ("logits", "action_masks"):
        names = [f"{part}{index}" for index in range(len(BRANCHES))]
        nodes.append(node("Split", [part, "branches"], names, axis=1))
    for index in range(len(BRANCHES)):
        nodes.append(node("Softmax", [f"logits{index}"], [f"p{index}"], axis=1))
        nodes.append(node("Mul", [f"p{index}", f"action_masks{index}"], [f"masked{index}"]))
        nodes.append(node("ArgMax", [f"masked{index}"], [f"best{index}"], axis=1, keepdims=1))
        nodes.append(node("Multinomial", [f"p{index}"], [f"drawn{index}"], sample_size=1))
    best, drawn = ([f"{word}{i}" for i in range(len(BRANCHES))] for word in ("best", "drawn"))
    nodes.append(node("Concat", best, [DISCRETE], axis=1))
    return [*nodes, node("Concat", drawn, ["discrete_actions"], axis=1)]


def agent(path: Path, *heads: list[NodeProto]) -> Path:
    body, constants = mlp("observation", "mu", sum(INPUTS.values()), 2)
    numbers = {"version_number": 3.0, "memory_size": 0.0}
    constants |= {f"{name}.number": np.array([n], np.float32) for name, n in numbers.items()}
    constants |= {"low": np.float32(-3), "high": np.float32(3), "branches": np.array(BRANCHES)}
    weights = np.random.default_rng(7).normal(size=(2, sum(BRANCHES)))
    constants["choices"] = weights.astype(np.float32)
    nodes = [node("Concat", list(INPUTS), ["observation"], axis=1), *body]
    nodes += [each for head in heads for each in head]
    nodes += [node("Identity", [f"{name}.number"], [name]) for name in numbers]
    made = {name for each in nodes for name in each.output}
    outputs = [name for name in (*numbers, "continuous_actions", CONTINUOUS) if name in made]
    outputs += [name for name in ("discrete_actions", DISCRETE) if name in made]
    inputs = INPUTS | ({"action_masks": sum(BRANCHES)} if DISCRETE in made else {})
    kinds = {"discrete_actions": TensorProto.INT32, DISCRETE: TensorProto.INT64}
    graph = helper.make_graph(
        nodes,
        "agent",
        [helper.make_tensor_value_info(n, 1, ["batch", size]) for n, size in inputs.items()],
        [helper.make_tensor_value_info(name, kinds.get(name, 1), None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[opset]), path)
    return path


def held_against(path: Path, output: str | None, name: str) -> None:
    random = np.random.default_rng(0)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {
        each.name: random.normal(size=(300, each.shape[1])).astype(np.float32)
        for each in session.get_inputs()
    }
    if "action_masks" in feeds:
        feeds["action_masks"] = (feeds["action_masks"] > 0).astype(np.float32)
    (expected,) = session.run([name], feeds)
    if name == CONTINUOUS:  # which no mask leads to
        feeds.pop("action_masks", None)
    found = read_onnx(path, output).forward(np.concatenate(list(feeds.values()), axis=1))
    assert len(np.unique(expected, axis=0)) > 3
    assert np.abs(found - expected).max() < 1e-6


def test_the_deterministic_actions_are_taken(tmp_path: Path) -> None:
    held_against(agent(tmp_path / "continuous.onnx", continuous()), None, CONTINUOUS)
    held_against(agent(tmp_path / "discrete.onnx", discrete()), None, DISCRETE)


def test_of_both_kinds_one_is_asked_for(tmp_path: Path) -> None:
    path = agent(tmp_path / "both.onnx", continuous(), discrete())
    with pytest.raises(UserError, match=f"--output {CONTINUOUS} or {DISCRETE}"):
        read_onnx(path)
    held_against(path, CONTINUOUS, CONTINUOUS)
    held_against(path, DISCRETE, DISCRETE)
