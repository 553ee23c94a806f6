"""The presets of the paper and of its authors' program: the gradients of a plain rewrite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sparsectl.training.bpd.bpd import BayesianPolicyDistillation
from sparsectl.training.bpd.plain import PlainBpd, authors_deviation, right_deviation
from sparsectl.training.config import DistillConfig
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.distillation.presets import PRESETS
from sparsectl.training.distillation.resolution import resolved
from sparsectl.training.settings import BpdSettings

LOW, HIGH = np.float32([-2, -2, -1]), np.float32([2, 2, 3])
"""Three actions of a range of four each, the last not about zero."""
ROWS, INPUTS, STEPS = 512, 5, 1000


def entry(name: str, low: float | None, high: float | None, scale: float, offset: float) -> Any:
    return {"name": name, "unit": "", "low": low, "high": high, "scale": scale, "offset": offset}


def dataset() -> Dataset:
    """Observations far from mean 0 and deviation 1, by which units show."""
    random = np.random.default_rng(0)
    observations, after = (random.normal(3, 4, (ROWS, INPUTS)).astype(np.float32) for _ in range(2))
    actions = random.uniform(LOW, HIGH, (ROWS, 3)).astype(np.float32)
    signals = {
        "observation": [entry(f"o{i}", None, None, 1.0, 0.0) for i in range(INPUTS)],
        "action": [
            entry(f"a{i}", float(low), float(high), float(high - low) / 2, float(high + low) / 2)
            for i, (low, high) in enumerate(zip(LOW, HIGH, strict=True))
        ],
        "frames": 1,
        "period_s": 0.02,
        "rig": None,
    }
    ends = random.random(ROWS) < 0.05
    rewards = random.normal(size=ROWS).astype(np.float32)
    return Dataset(
        observations,
        actions,
        actions,
        rewards,
        after,
        ends,
        np.zeros(ROWS, np.bool_),
        {"signals": signals},
    )


def both(preset: str) -> tuple[BayesianPolicyDistillation, PlainBpd]:
    data = dataset()
    settings = replace(
        PRESETS[preset].bpd,
        hidden=(16, 12),
        critic_hidden=(24, 20),
        steps=STEPS,
        batch_size=64,
        log_sigma_start=-3.0,
        weight_std=0.3,
    )
    engine = BayesianPolicyDistillation(data, data.signals, settings, [0], torch.device("cpu"))
    columns = (
        data.observations,
        data.actions,
        data.rewards[:, None],
        data.next_observations,
        data.terminations[:, None].astype(np.float32),
    )
    theirs = preset == "authors"
    plain = PlainBpd(
        columns,
        (16, 12),
        STEPS,
        critic_hidden=(24, 20),
        batch_size=64,
        deviation=authors_deviation if theirs else right_deviation,
        imitation="mean" if theirs else "sum",
        low=LOW,
        high=HIGH,
    )
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
    engine.steps_done = plain.steps_done = 300  # so that the divergence weighs something
    return engine, plain


def same(mine: torch.Tensor, its: torch.Tensor) -> bool:
    return bool((mine - its).norm() <= 2e-5 * its.norm() + 1e-6)


@pytest.mark.parametrize("preset", ["paper", "authors"])
def test_gradients_are_those_of_the_plain_rewrite(
    preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, plain = both(preset)
    state = engine.randoms[0].get_state()
    batch = engine.batches.sample(engine.randoms)
    after_batch = engine.randoms[0].get_state()
    target_noise = [noise[0].clone() for noise in engine.target_noise.draw(engine.randoms)]
    after_critics = engine.randoms[0].get_state()
    noise = [drawn[0].clone() for drawn in engine.noise.draw(engine.randoms)]
    drawn = iter([*target_noise, *noise])
    monkeypatch.setattr(torch, "randn_like", lambda values: next(drawn).reshape(values.shape))

    observations, actions = batch.observations[0], batch.state_action[0, :, INPUTS:]
    assert actions.abs().max() > 1.5  # physical units, not -1 to 1
    plain._update_critics(
        (
            observations,
            actions,
            batch.rewards[0, :, None],
            batch.next_observations[0],
            1 - batch.not_done[0, :, None],
        )
    )
    engine.randoms[0].set_state(after_batch)
    engine._update_critics(batch)
    assert engine.losses["critics"].item() == pytest.approx(
        plain.losses["critics"].item(), rel=1e-5
    )

    engine.randoms[0].set_state(after_critics)
    with torch.no_grad():  # after Adam's step the critics differ by rounding: take one's
        first = engine.critics.online
        for layer, linear in enumerate((plain.critics[0].first, plain.critics[0].second)):
            linear.weight.copy_(first.weights[layer][0].t())
            linear.bias.copy_(first.biases[layer][0, 0])
        plain.critics[0].third.weight.copy_(first.last_weight[0])
        plain.critics[0].third.bias.copy_(first.last_bias[0])
    engine._update_students(batch)
    plain._update_student(observations, actions)
    for mine, its in zip(engine.student.linear_layers(), plain.student.layers, strict=True):
        assert same(mine.mean.grad[0], its.mean.grad)
        assert same(mine.log_sigma.grad[0], its.log_sigma.grad)
        assert same(mine.bias.grad[0], its.bias.grad)
    assert engine.losses["imitation"].item() == pytest.approx(
        plain.losses["imitation"].item(), rel=1e-5
    )
    assert engine.losses["divergence"].item() == pytest.approx(
        plain.losses["divergence"].item(), rel=1e-4
    )
    engine.randoms[0].set_state(state)


def test_the_presets_have_the_papers_settings_and_no_more() -> None:
    for name in ("paper", "authors"):
        preset = resolved(DistillConfig(Path("d.npz"), preset=name, method="bpd"))  # type: ignore[arg-type]
        defaults = BpdSettings(units="physical")
        if name == "authors":
            defaults = replace(defaults, imitation="mean", noise="authors")
        assert preset.bpd == defaults
        assert preset.finetune.steps == preset.finetune.rounds == preset.dagger.rounds == 0
