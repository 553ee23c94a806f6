"""A foreign image policy must take an image's numbers in the environment's order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.policy.load import load_acting
from sparsectl.training.rollouts.episodes import check_fit

SIGNAL = {"name": "o", "unit": "1", "scale": 1.0, "offset": 0.0, "low": 0.0, "high": 1.0}
ACTION = {**SIGNAL, "name": "a", "low": -1.0}


def convolutional(path: Path, sizes: list[int]) -> Path:
    """A Conv over 5 x 4 pixels of 3 channels; an image of rows first is reordered before it."""
    generator = np.random.default_rng(0)
    arrays = {
        "kernel": generator.normal(size=(2, 3, 3, 3)),
        "weight": generator.normal(size=(12, 1)),
    }
    nodes = [
        helper.make_node("Conv", ["seen", "kernel"], ["places"]),
        helper.make_node("Flatten", ["places"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["action"]),
    ]
    turn = {"perm": [0, 3, 1, 2]} if sizes[-1] == 3 else {"perm": [0, 1, 2, 3]}
    nodes.insert(0, helper.make_node("Transpose", ["image"], ["seen"], **turn))
    graph = helper.make_graph(
        nodes,
        "image",
        [helper.make_tensor_value_info("image", 1, ["batch", *sizes])],
        [helper.make_tensor_value_info("action", 1, ["batch", 1])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def test_channels_first_are_not_taken_for_rows_first(tmp_path: Path) -> None:
    signals = {"observation": [SIGNAL] * 60, "action": [ACTION], "frames": 1, "period_s": 0.0}
    seen = {**signals, "image": [5, 4, 3]}
    policy = load_acting(convolutional(tmp_path / "channels.onnx", [3, 5, 4]))
    with pytest.raises(
        UserError, match=r"image of \[3, 5, 4\], but game gives \[5, 4, 3\].*permute"
    ):
        check_fit(policy, seen, "game")
    check_fit(policy, signals, "vectors")  # no image: the vector is the file's
    check_fit(load_acting(convolutional(tmp_path / "rows.onnx", [5, 4, 3])), seen, "game")
