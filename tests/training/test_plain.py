"""The engine against the plain update: the same minibatches, the same steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsectl.training.bpd.bpd import BayesianPolicyDistillation
from sparsectl.training.bpd.plain import PlainBpd, right_deviation
from sparsectl.training.data.files import read_dataset
from tests.training.bpd.test_bpd import CPU, SETTINGS

QUIET = replace(SETTINGS, log_sigma_start=-20.0, hidden=(16, 12), student_interval=2)
"""With next to no noise in the weights, so that both take the same steps."""


def both(balancing: Path, dtype: str) -> tuple[BayesianPolicyDistillation, PlainBpd]:
    dataset = read_dataset(balancing)
    dataset = replace(dataset, teacher_actions=dataset.actions)
    settings = replace(QUIET, critic_dtype=dtype)
    engine = BayesianPolicyDistillation(dataset, dataset.signals, settings, [0], CPU)
    columns = (
        dataset.observations,
        dataset.actions,
        dataset.rewards[:, None],
        dataset.next_observations,
        dataset.terminations[:, None].astype(np.float32),
    )
    plain = PlainBpd(columns, (16, 12), 100, critic_hidden=(24, 20), deviation=right_deviation)
    with torch.no_grad():
        for students in (plain.student, plain.target_student):
            for mine, its in zip(students.layers, engine.student.linear_layers(), strict=True):
                mine.mean.copy_(its.mean[0])
                mine.log_sigma.copy_(its.log_sigma[0])
        networks = engine.critics.online
        for critics in (plain.critics, plain.target_critics):
            for number, critic in enumerate(critics):
                for layer, linear in enumerate((critic.first, critic.second)):
                    linear.weight.copy_(networks.weights[layer][number].t())
                    linear.bias.copy_(networks.biases[layer][number, 0])
                critic.third.weight.copy_(networks.last_weight[number])
                critic.third.bias.copy_(networks.last_bias[number])
    return engine, plain


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-3), ("bfloat16", 0.1)])
def test_the_engine_takes_the_plain_updates_steps(
    balancing: Path, dtype: str, tolerance: float
) -> None:
    engine, plain = both(balancing, dtype)
    start = engine.student_adam.values.clone()
    for step in range(20):
        state = engine.randoms[0].get_state()
        batch = engine.batches.sample(engine.randoms)
        engine.randoms[0].set_state(state)
        engine.update()
        n = engine.batches.observation_size
        observations, actions = batch.observations[0], batch.state_action[0, :, n:]
        rest = (
            batch.rewards[0, :, None],
            batch.next_observations[0],
            1 - batch.not_done[0, :, None],
        )
        plain._update_critics((observations, actions, *rest))
        if step % 2 == 0:
            plain._update_student(observations, actions)
            plain._soft_update(plain.critics, plain.target_critics)
            plain._soft_update(plain.student, plain.target_student)
        for name in ("critics", "imitation"):
            mine, its = engine.losses[name].item(), plain.losses[name].item()
            assert mine == pytest.approx(its, rel=tolerance), (name, step)
    moved = (engine.student_adam.values - start).norm()
    difference = torch.zeros(())
    for mine, its in zip(engine.student.linear_layers(), plain.student.layers, strict=True):
        difference += (mine.mean[0] - its.mean).norm() ** 2
    # Adam takes a whole step where a slope is all but zero, whatever its sign.
    assert difference.sqrt() < max(tolerance, 0.05) * moved
