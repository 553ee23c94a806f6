"""Two policies in the same episodes: the interval is that of their difference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparsectl import cli
from sparsectl.commands.evaluate import evaluate
from sparsectl.common.errors import UserError
from sparsectl.policy.student_file import read_student_file, write_student
from sparsectl.training.config import EvaluateConfig
from tests.training.balancer import SHORT

EPISODES = 12


@pytest.fixture
def weaker(balancer: Path, tmp_path: Path) -> Path:
    """The balancer with a tenth of its gains."""
    student = read_student_file(balancer)
    layers = tuple(replace(layer, mean=0.1 * layer.mean) for layer in student.layers)
    path = tmp_path / "weaker.safetensors"
    write_student(path, replace(student, layers=layers))
    return path


def test_the_better_of_two_is_found_in_pairs(balancer: Path, weaker: Path) -> None:
    result = evaluate(EvaluateConfig(env=SHORT, episodes=EPISODES, compare=(balancer, weaker)))
    a, b = (np.array(result["returns"][name]) for name in "ab")
    assert len(a) == len(b) == EPISODES
    alone = [
        evaluate(EvaluateConfig(path, SHORT, EPISODES))["returns"] for path in (balancer, weaker)
    ]
    np.testing.assert_array_equal([a, b], alone)
    assert result["difference"] == pytest.approx((a - b).mean())
    assert result["difference_low"] <= result["difference"] <= result["difference_high"]
    assert result["answer"] == "A is better"
    swapped = evaluate(EvaluateConfig(env=SHORT, episodes=EPISODES, compare=(weaker, balancer)))
    assert swapped["answer"] == "B is better"
    assert swapped["difference"] == pytest.approx(-result["difference"])


def test_a_policy_is_not_better_than_itself(balancer: Path) -> None:
    result = evaluate(EvaluateConfig(env=SHORT, episodes=3, compare=(balancer, balancer)))
    assert (result["difference"], result["answer"]) == (0.0, "no difference")


def test_returns_of_each_episode_are_for_machines(
    balancer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--policy", str(balancer), "--env", SHORT, "--episodes", "3"]
    assert cli.run([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result["returns"]) == 3
    assert np.mean(result["returns"]) == pytest.approx(result["return_mean"])
    assert cli.run(words) == 0
    assert "returns" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": None}, "name one with --policy, or two with --compare"),
        ({"episodes": 0}, "episodes is 0; give a number from 1"),
        ({"episodes": -2}, "episodes is -2"),
        ({"seed": -1}, "seed is -1"),
        ({"compare": (Path("a"), Path("b"))}, "leave --policy and --trace out"),
        ({"trace": Path("/proc/zz/trace.npz")}, "cannot write /proc/zz"),
    ],
)
def test_mistakes_are_told_before_work_starts(
    change: dict[str, object], message: str, balancer: Path
) -> None:
    config = EvaluateConfig(balancer, SHORT, 3)
    with pytest.raises(UserError, match=message) as caught:
        evaluate(replace(config, **change))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
