"""Policies load from what people have, and nothing that is loaded runs."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3

from sparsectl.common.errors import UserError
from sparsectl.policy.load import LoadOptions, load_acting
from sparsectl.policy.onnx_file.writer import write_onnx
from tests.policy.graphs import random_graph

OBSERVATIONS = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32) * 3


class Bomb:
    """Unpickling it leaves a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def save_zip(path: Path, policy: bytes, data: bytes = b"{}") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("policy.pth", policy)
        archive.writestr("data", data)
    return path


def torch_bytes(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def actor(size: int = 3) -> dict[str, torch.Tensor]:
    return {
        "actor.mu.0.weight": torch.ones(4, size),
        "actor.mu.0.bias": torch.zeros(4),
        "actor.mu.2.weight": torch.ones(1, 4),
        "actor.mu.2.bias": torch.zeros(1),
    }


BOUNDS = json.dumps({"action_space": {"low": "[-2.]", "high": "[2.]"}}).encode()


@pytest.mark.parametrize(
    ("algorithm", "arguments"),
    [
        (SAC, {}),
        (TD3, {"policy_kwargs": {"net_arch": [16], "activation_fn": torch.nn.ELU}}),
        (DDPG, {"policy_kwargs": {"net_arch": [16, 8]}}),
        (PPO, {"policy_kwargs": {"activation_fn": torch.nn.ReLU}}),
        (A2C, {}),
    ],
)
def test_sb3_zip_acts_as_sb3_does(algorithm: Any, arguments: Any, tmp_path: Path) -> None:
    model = algorithm("MlpPolicy", "Pendulum-v1", device="cpu", seed=1, **arguments)
    model.save(tmp_path / "model.zip")
    policy = load_acting(tmp_path / "model.zip")
    expected, _ = model.predict(OBSERVATIONS, deterministic=True)
    np.testing.assert_allclose(policy.act(OBSERVATIONS), expected, atol=5e-6)
    network = model.policy.actor if hasattr(model.policy, "actor") else None
    if network is not None and algorithm is not SAC:
        assert policy.parameters == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickle_in_the_zip_does_not_run(tmp_path: Path, new_format: bool) -> None:
    trace = tmp_path / "ran"
    bomb = torch_bytes(Bomb(trace)) if new_format else pickle.dumps(Bomb(trace))
    with pytest.raises(UserError, match=r"policy\.pth is not a torch state dict"):
        load_acting(save_zip(tmp_path / "bomb.zip", bomb))
    assert not trace.exists()


def test_pickles_in_the_json_are_left_alone(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    space = {"low": "[-2.]", "high": "[2.]"}
    space[":serialized:"] = b64encode(pickle.dumps(Bomb(trace))).decode()
    data = json.dumps({"action_space": space, "policy_class": space}).encode()
    policy = load_acting(save_zip(tmp_path / "model.zip", torch_bytes(actor()), data))
    assert np.abs(policy.act(OBSERVATIONS)).max() <= 2
    assert not trace.exists()


def test_what_the_zip_does_not_say_can_be_given(tmp_path: Path) -> None:
    path = save_zip(tmp_path / "model.zip", torch_bytes(actor()))
    with pytest.raises(UserError, match="does not say the bounds of its 1 actions"):
        load_acting(path)
    policy = load_acting(path, LoadOptions(activation="tanh", action_low=[-1], action_high=[3]))
    expected = 1 + 2 * np.tanh(4 * np.tanh(OBSERVATIONS.sum(axis=1)))
    np.testing.assert_allclose(policy.act(OBSERVATIONS)[:, 0], expected, atol=1e-5)


def lying_tensor() -> dict[str, torch.Tensor]:
    """A tensor of 4 bytes that says it has 16 GB."""
    return actor() | {"actor.mu.0.weight": torch.zeros(1).expand(2**16, 2**16)}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"weight": torch.ones(2, 2)}, "no actor that is a plain network"),
        ([1, 2], "holds a list"),
        (actor() | {"actor.mu.2.weight": torch.ones(1, 5)}, "do not chain"),
        (actor() | {"actor.mu.0.weight": torch.full((4, 3), torch.nan)}, "NaN or infinity"),
        (actor() | {"actor.features_extractor.cnn.weight": torch.ones(1)}, "no plain layer"),
        (lying_tensor(), "not a layer"),
    ],
)
def test_foreign_state_is_one_line(state: Any, message: str, tmp_path: Path) -> None:
    path = save_zip(tmp_path / "model.zip", torch_bytes(state), BOUNDS)
    with pytest.raises(UserError, match=message) as caught:
        load_acting(path)
    assert "\n" not in str(caught.value)


def test_damaged_zips_are_one_line(tmp_path: Path) -> None:
    whole = save_zip(tmp_path / "whole.zip", torch_bytes(actor()), BOUNDS).read_bytes()
    path = tmp_path / "model.zip"
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 0xFF
    damaged = [whole[:-100], whole[:20], b"", bytes(flipped), b"PK\x03\x04" + bytes(100)]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            load_acting(path)
        assert "\n" not in str(caught.value)


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("policy.pth", "w", force_zip64=True) as member:
            for _ in range(257):
                member.write(bytes(2**20))
        archive.writestr("data", "{}")
    with pytest.raises(UserError, match="the limit is"):
        load_acting(path)


def save_onnx(path: Path, *, metadata: dict[str, str] | None = None) -> Path:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    nodes = [
        helper.make_node("Gemm", ["observation", "w", "b"], ["h"], transB=1),
        helper.make_node("Tanh", ["h"], ["action"]),
    ]
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", 2])],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(np.ones(2, np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


def test_onnx_and_its_folder(tmp_path: Path) -> None:
    metadata = {"sparsectl.signals": '{"frames": 1}', "sparsectl.environment": "Pendulum-v1"}
    save_onnx(tmp_path / "policy.onnx", metadata=metadata)
    for path in (tmp_path, tmp_path / "policy.onnx"):
        policy = load_acting(path)
        weight = np.arange(6, dtype=np.float32).reshape(2, 3)
        expected = np.tanh(OBSERVATIONS @ weight.T + 1)
        np.testing.assert_allclose(policy.act(OBSERVATIONS), expected, atol=1e-6)
        assert (policy.parameters, policy.environment) == (8, "Pendulum-v1")
        assert policy.signals == {"frames": 1}
        assert len(policy.sha256) == 64
    copy = pickle.loads(pickle.dumps(policy))
    np.testing.assert_array_equal(copy.act(OBSERVATIONS), policy.act(OBSERVATIONS))


@pytest.mark.parametrize("batch", [1, 4])
def test_an_onnx_file_of_a_fixed_batch_acts_on_any(batch: int, tmp_path: Path) -> None:
    free, fixed = tmp_path / "free.onnx", tmp_path / "fixed.onnx"
    write_onnx(random_graph((3, 8, 2)), free)
    model = onnx.load(free)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    onnx.save(model, fixed)
    observations = np.random.default_rng(0).normal(0, 3, (10, 3)).astype(np.float32)
    wanted = load_acting(free).act(observations)
    for rows in (1, 3, 4, 8, 10):
        acted = load_acting(fixed).act(observations[:rows])
        np.testing.assert_allclose(acted, wanted[:rows], rtol=0, atol=1e-6)


def test_bad_onnx_is_one_line(tmp_path: Path) -> None:
    whole = save_onnx(tmp_path / "whole.onnx").read_bytes()
    path = tmp_path / "policy.onnx"
    for content in (whole[: len(whole) // 2], b"", b"not a model" * 10):
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            load_acting(path)
        assert "\n" not in str(caught.value)


def test_a_student_acts_by_its_masked_mean(balancer: Path) -> None:
    policy = load_acting(balancer)
    observations = np.random.default_rng(1).normal(size=(10, 4)).astype(np.float32)
    expected = 3 * np.tanh(observations @ np.array([[0.3], [3.0], [0.4], [0.6]], np.float32))
    np.testing.assert_allclose(policy.act(observations), expected, atol=1e-6)
    with pytest.raises(UserError, match=r"\(10, 3\) do not fit"):
        policy.act(OBSERVATIONS[:10])


@pytest.mark.parametrize("name", ["none.zip", "none.onnx", "none.safetensors", "folder"])
def test_missing_policies(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_acting(tmp_path / name)


def test_other_extensions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(UserError, match="is not a policy"):
        load_acting(path)
    assert not (tmp_path / "ran").exists()
