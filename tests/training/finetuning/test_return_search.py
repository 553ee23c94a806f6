"""A search for a higher return: students side by side act as alone, and one gets better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.common.nested import replaced
from sparsectl.policy.student_file import StudentFile, StudentLayer, read_student_file
from sparsectl.training.config import DistillConfig
from sparsectl.training.distillation.distill import check_distill
from sparsectl.training.distillation.limits import check_searchable
from sparsectl.training.distillation.presets import PRESETS
from sparsectl.training.environments.environments import named_environment
from sparsectl.training.finetuning.candidates import KeptParameters
from sparsectl.training.finetuning.return_search import ReturnSearch, fitness_of
from sparsectl.training.rollouts.evaluate import run_episodes
from sparsectl.training.settings import SearchSettings
from tests.training.balancer import ENVIRONMENT, signal, write_balancer

BRIEF = named_environment(ENVIRONMENT, ["max_episode_steps=100"], [])


def sparse_student(seed: int) -> StudentFile:
    """Of 4-7-5-2, a third of its weights and half of its biases kept; neurons may be dead."""
    random, sizes = np.random.default_rng(seed), (4, 7, 5, 2)
    layers = []
    for size, out in zip(sizes, sizes[1:], strict=False):
        bias = random.normal(size=out) * random.integers(0, 2, out)
        mean = random.normal(size=(out, size)).astype(np.float32)
        mask = random.random((out, size)) < 1 / 3
        layers.append(StudentLayer(mean, np.full_like(mean, -5), bias.astype(np.float32), mask))
    signals = {
        "observation": [signal(name, 2.0) for name in "abcd"],
        "action": [signal(name, 3.0, 3.0) for name in "ef"],
        "frames": 1,
    }
    metadata = {"activations": ["relu"] * 2 + ["tanh"], "log_alpha_threshold": 2.0}
    return StudentFile(tuple(layers), metadata | {"signals": signals})


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_students_side_by_side_act_as_each_alone(seed: int) -> None:
    student = sparse_student(seed)
    kept = KeptParameters(student.layers, student.network())
    random = np.random.default_rng(seed)
    values = kept.values() + random.normal(size=(3, len(kept)))
    observations = random.normal(size=(3, 8, 4)).astype(np.float32)
    actions = kept.stacked(values).act(observations)
    for each, seen, acted in zip(values, observations, actions, strict=True):
        layers = kept.layers(each)
        alone = replace(student, layers=layers)
        np.testing.assert_allclose(alone.network()(seen), acted, rtol=1e-5, atol=1e-5)
        assert alone.kept_weights == student.kept_weights
        for now, before in zip(layers, student.layers, strict=True):
            assert now.mask is not None and before.mask is not None
            np.testing.assert_array_equal(now.mask, before.mask)
            np.testing.assert_array_equal(now.bias == 0, before.bias == 0)
    for now, before in zip(kept.layers(kept.values()), student.layers, strict=True):
        np.testing.assert_array_equal(now.mean, before.mean)
        np.testing.assert_array_equal(now.bias, before.bias)


def test_a_student_that_drops_the_pole_learns_to_keep_it_up(tmp_path: Path) -> None:
    student = read_student_file(write_balancer(tmp_path / "balancer.safetensors"))
    (layer,) = student.layers
    weak = replace(layer, mean=0.02 * layer.mean, mask=np.ones_like(layer.mean, np.bool_))
    student = replace(student, layers=(weak,))
    observations = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    plan = SearchSettings(generations=8, pairs=4, episodes=2, pool=4, spread=0.2, rate=1.0)
    search = ReturnSearch(BRIEF, observations, (weak,), student.network(), plan, 0, 0, 0)
    while search.steps_done < search.steps:
        search.update()

    def mean_return(one: StudentFile) -> float:
        return float(run_episodes(BRIEF, one.network(), episodes=10, seed=0).returns.mean())

    assert mean_return(replace(student, layers=search.layers())) > 1.2 * mean_return(student)


def test_where_failures_are_the_aim_a_high_return_makes_none_good() -> None:
    """The second student returns more and fails once; the third neither fails nor returns more."""
    returns = np.array([[100.0, 100.0], [190.0, 60.0], [100.0, 110.0]])
    np.testing.assert_allclose(fitness_of(returns, 80.0, 100.0, "return"), [100.0, 115.0, 105.0])
    failures = fitness_of(returns, 80.0, 100.0, "failures")
    np.testing.assert_allclose(failures, [100.0, 80.0 - 200.0, 100.0])


def test_fewer_failures_are_found_by_the_search_that_aims_at_them(tmp_path: Path) -> None:
    """A balancer that drops the pole in some episodes drops it in fewer; killed on the way and
    resumed, the search ends bit for bit the same."""
    student = read_student_file(write_balancer(tmp_path / "balancer.safetensors"))
    (layer,) = student.layers
    weak = replace(layer, mean=0.05 * layer.mean, mask=np.ones_like(layer.mean, np.bool_))
    student = replace(student, layers=(weak,))
    observations = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    plan = SearchSettings(8, "failures", pairs=4, episodes=4, pool=8, spread=0.2, rate=1.0)

    def search() -> ReturnSearch:
        return ReturnSearch(BRIEF, observations, (weak,), student.network(), plan, 0, 0, 0)

    whole, first, second = search(), search(), search()
    for _ in range(8):
        whole.update()
    for _ in range(3):
        first.update()
    second.load({name: tensor.clone() for name, tensor in first.state().items()}, 3)
    for _ in range(5):
        second.update()
    np.testing.assert_array_equal(whole.layers()[0].mean, second.layers()[0].mean)

    def failed(one: StudentFile) -> int:
        returns = run_episodes(BRIEF, one.network(), episodes=40, seed=0).returns
        return int((returns < 60.0).sum())

    assert failed(replace(student, layers=whole.layers())) < failed(student)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "search.generations is 5, but a search needs episodes to run; give --env"),
        ({"env": "Pendulum-v1", "preset": "paper"}, "preset paper has no fine-tuning"),
        ({"env": "Pendulum-v1", "search.pool": 9}, "search.pool is 9, fewer than the 32 episodes"),
        ({"env": "Pendulum-v1", "search.episodes": 1}, "search.episodes is 1"),
        ({"env": "Pendulum-v1", "search.pairs": 10**9}, "search.pairs is 1000000000"),
    ],
)
def test_a_search_that_cannot_be_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    config = DistillConfig(tmp_path / "none.npz", tmp_path / "out")
    with pytest.raises(UserError, match=message) as caught:
        check_distill(replaced(config, {"search.generations": 5} | changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("chooses", "image", "message"),
    [(True, None, "the actions are choices"), (False, (8, 8, 1), "has a convolution")],
)
def test_students_that_a_search_does_not_know_are_refused(
    chooses: bool, image: tuple[int, int, int] | None, message: str
) -> None:
    preset = PRESETS["quick"]
    check_searchable(preset, chooses, image)
    with pytest.raises(UserError, match=message):
        check_searchable(replace(preset, search=SearchSettings(generations=1)), chooses, image)
