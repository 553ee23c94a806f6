"""The bounds of a zip's actions are exact, however the script that saved it prints numbers."""

from __future__ import annotations

import base64
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from sparsectl.policy.load import load
from sparsectl.policy.sb3_bounds import stated_bound

library = pytest.importorskip("stable_baselines3")

LOW = np.float32([-1.2345678, 0.001234567, -3e-7, 0.5])
HIGH = np.float32([1.2345679, 0.004345679, 12345.678, 0.7654321])


class Acts(gymnasium.Env[Any, Any]):
    def __init__(self, space: Box) -> None:
        self.observation_space, self.action_space = Box(-1, 1, (3,)), space


def fields(space: Box, protocol: int = 5) -> dict[str, Any]:
    """What the library writes of a space."""
    said = {key: str(value) for key, value in space.__dict__.items() if key != "_shape"}
    serialized = base64.b64encode(pickle.dumps(space, protocol)).decode()
    return {**said, "_shape": list(space.shape), ":serialized:": serialized}


@pytest.mark.parametrize(
    "options", [{}, {"precision": 2, "suppress": True}, {"threshold": 3, "edgeitems": 1}]
)
def test_bounds_are_exact_however_numbers_are_printed(
    options: dict[str, Any], tmp_path: Path
) -> None:
    space = Box(LOW, HIGH)
    model = library.PPO("MlpPolicy", Acts(space), device="cpu", seed=1)
    with np.printoptions(**options):
        model.save(tmp_path / "model.zip")
    graph = load(tmp_path / "model.zip")
    assert [np.float32(signal.low) for signal in graph.action] == LOW.tolist()
    assert [np.float32(signal.high) for signal in graph.action] == HIGH.tolist()
    given = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    expected, _ = model.predict(given, deterministic=True)
    np.testing.assert_allclose(graph.forward(given), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8, np.int32])
def test_bounds_of_any_type_in_any_order(kind: Any, protocol: int) -> None:
    high = np.array([[1.5, 2.25, 7], [4, 8.125, 16]]).astype(kind)
    for array in (high, np.asfortranarray(high)):
        space = Box(np.negative(array), array, dtype=kind)
        with np.printoptions(precision=1):
            assert stated_bound(fields(space, protocol), "high") == high.reshape(-1).tolist()
        with np.printoptions(
            threshold=1, edgeitems=1
        ):  # nothing says whether rows or columns come first
            assert stated_bound(fields(space, protocol), "high") is None
    row = Box(-high[0], high[0], dtype=kind)
    with np.printoptions(threshold=1, edgeitems=1):
        assert stated_bound(fields(row, protocol), "high") == high[0].tolist()


def test_what_is_no_pickle_leaves_the_text() -> None:
    said = fields(Box(-2, 3, (2,)))
    whole = said[":serialized:"]
    for text in ("", "####", whole[:80], base64.b64encode(b"\x80\x05\x8c").decode(), None, 7):
        assert stated_bound(said | {":serialized:": text}, "high") == [3, 3]
    other = fields(Box(-200, 300, (2,)))[":serialized:"]
    assert stated_bound(said | {":serialized:": other}, "high") == [3, 3]
    assert stated_bound(said | {"dtype": "object"}, "high") == [3, 3]
    assert stated_bound({"high": "[1. ... 1.]"}, "high") is None


def test_no_pickle_is_run(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    model = library.PPO("MlpPolicy", Acts(Box(-2, 3, (2,))), device="cpu", seed=1)
    model.save(tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    data = json.loads(members["data"])
    hostile = base64.b64encode(pickle.dumps(["high", Runs()])).decode()
    data["action_space"][":serialized:"] = hostile
    members["data"] = json.dumps(data).encode()
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert load(tmp_path / "model.zip").action[0].high == 3
    assert not (tmp_path / "ran").exists()
