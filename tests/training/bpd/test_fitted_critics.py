"""Critics fitted once: towards the teacher's next action, saved, shared by students."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsectl.common.errors import UserError
from sparsectl.training.bpd.bpd import BayesianPolicyDistillation
from sparsectl.training.bpd.fitted_critics import (
    fit_critics,
    read_critics,
    with_next_actions,
    write_critics,
)
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.data.files import read_dataset
from tests.training.bpd.test_bpd import CPU, SETTINGS


@pytest.fixture(scope="module")
def dataset(balancing: Path) -> Dataset:
    return read_dataset(balancing)


def test_the_next_action_is_the_teachers_at_the_next_observation(dataset: Dataset) -> None:
    known = with_next_actions(dataset)
    answers = {
        row.tobytes(): dataset.teacher_actions[i] for i, row in enumerate(dataset.observations)
    }
    ends = int(dataset.truncations.sum())
    assert len(dataset) - ends - 1 <= len(known) <= len(dataset) - ends
    for index in np.flatnonzero(~known.terminations)[::50]:
        expected = answers[known.next_observations[index].tobytes()]
        np.testing.assert_array_equal(known.teacher_actions[index], expected)


def test_terminations_stay_and_cuts_go(dataset: Dataset) -> None:
    ends = np.zeros(len(dataset), bool)
    ends[99] = True
    cut = replace(dataset, terminations=ends, truncations=np.roll(ends, 100))
    known = with_next_actions(cut)
    assert known.terminations.sum() == 1 and not known.truncations.any()


def test_fitted_critics_know_a_known_process(dataset: Dataset) -> None:
    """Reward 1 a step at a discount of 0.5: worth 2 wherever the episode continues."""
    ones = np.ones(len(dataset), np.float32)
    known = replace(dataset, rewards=ones, terminations=np.zeros(len(dataset), bool))
    settings = replace(SETTINGS, discount=0.5, critic_learning_rate=2e-3, target_rate=0.05)
    critics = fit_critics(known, known.signals, settings, 400, 0, CPU)
    first = critics.for_students(2, 64, torch.float32, CPU)
    state_action = torch.randn(2, 64, critics.facts.sizes[0], generator=torch.Generator())
    assert first.value(0.3 * state_action).mean().item() == pytest.approx(2, abs=0.2)
    assert critics.facts.error < 0.1


def test_students_share_saved_critics(dataset: Dataset, tmp_path: Path) -> None:
    fitted = fit_critics(dataset, dataset.signals, SETTINGS, 20, 0, CPU)
    path = tmp_path / "critics.safetensors"
    write_critics(path, fitted)
    back = read_critics(path, dataset)
    assert back.facts == fitted.facts and torch.equal(back.values, fitted.values)
    engines = [
        BayesianPolicyDistillation(
            dataset, dataset.signals, SETTINGS, seeds, CPU, fitted=read_critics(path, dataset)
        )
        for seeds in ([0, 1, 2], [1])
    ]
    before = engines[0].critics.values.clone()
    for engine in engines:
        for _ in range(10):
            engine.update()
        assert "critics" not in engine.losses and "q1" in engine.losses
    assert torch.equal(before, engines[0].critics.values)
    for mine, its in zip(engines[0].posterior(1), engines[1].posterior(0), strict=True):
        np.testing.assert_allclose(mine.mean, its.mean, rtol=1e-3, atol=2e-5)


def test_bad_critics_are_one_line(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "critics.safetensors"
    with pytest.raises(UserError, match="holds no critics"):
        read_critics(path, dataset)
    write_critics(path, fit_critics(dataset, dataset.signals, SETTINGS, 2, 0, CPU))
    with pytest.raises(UserError, match="fitted to another dataset"):
        read_critics(path, dataset.first(500))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="holds no critics"):
        read_critics(path, dataset)
