"""The shipped teachers that choose: what they return, and that their files say whence they come."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from sparsectl.policy.choices import LOGITS, Q_VALUES
from sparsectl.policy.load import load, load_acting
from sparsectl.training.config import EvaluateConfig
from sparsectl.training.rollouts.evaluate import evaluate

TEACHERS = Path(__file__).parents[3] / "training" / "teachers"


@pytest.mark.parametrize(
    ("name", "least", "values"),
    [
        ("cart_pole", 475.0, LOGITS),
        ("acrobot", -100.0, LOGITS),
        ("mountain_car", -110.0, Q_VALUES),
    ],
)
def test_it_returns_what_its_task_registers_as_solved(name: str, least: float, values: str) -> None:
    path = TEACHERS / f"{name}.onnx"
    assert evaluate(EvaluateConfig(path, episodes=8))["return_mean"] >= least
    assert load_acting(path).values_kind == values
    assert load(path).layers[-1].activation == "argmax"


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("minatar_breakout", 12.0),  # by chance 0.3
        ("minatar_space_invaders", 60.0),  # by chance 3.9
        ("minatar_freeway", 30.0),  # by chance 0.4
        ("minatar_asterix", 12.0),  # by chance 0.6
        ("minatar_seaquest", 4.0),  # by chance 0.1
    ],
)
def test_one_that_sees_images_plays_far_better_than_chance(name: str, least: float) -> None:
    path = TEACHERS / f"{name}.onnx"
    assert evaluate(EvaluateConfig(path, episodes=8))["return_mean"] >= least
    assert load(path).layers[0].convolution is not None


@pytest.mark.parametrize(
    "name",
    [
        *("cart_pole", "acrobot", "mountain_car", "sensorsini_bang_bang"),
        *("minatar_breakout", "minatar_space_invaders", "minatar_freeway"),
        *("minatar_asterix", "minatar_seaquest"),
        *("hopper", "hopper_medium", "halfcheetah", "halfcheetah_medium"),
        *("walker2d", "walker2d_medium"),
    ],
)
def test_its_origin_stands_beside_it(name: str) -> None:
    origin = json.loads((TEACHERS / f"{name}.json").read_text())
    with (TEACHERS / f"{name}.csv").open() as file:
        curve = {int(row["steps"]): float(row["return_mean"]) for row in csv.DictReader(file)}
    assert curve[origin["steps"]] == max(curve.values())
    assert origin["config"]["env"] == load_acting(TEACHERS / f"{name}.onnx").environment
    assert origin["command"][:2] == ["sparsectl", "teach"]
