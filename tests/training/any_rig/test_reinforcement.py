"""A student learns from its own rewards: gradients, what was better than expected, resuming."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("numba")

import torch

from sparsectl.common.errors import UserError
from sparsectl.plants.drawing import draw_rig, families
from sparsectl.plants.side_by_side import PendulumEpisodes
from sparsectl.training.any_rig.acting import CONSTANTS, SIGNALS, Acting
from sparsectl.training.any_rig.critic import MOTION, NUMBERS, Critic, Seen
from sparsectl.training.any_rig.deploy import read_any, write_any
from sparsectl.training.any_rig.distill import CURVE
from sparsectl.training.any_rig.gradients import Surrogate
from sparsectl.training.any_rig.recurrent import GruStudent, acting
from sparsectl.training.any_rig.reinforcement import (
    CHECKPOINT,
    Practised,
    Reinforcement,
    ReinforcementSettings,
    read_reinforced,
)
from sparsectl.training.any_rig.teacher import ModelBased

UNITS = 3
WIDTH = SIGNALS + CONSTANTS
SMALL = ReinforcementSettings(
    rounds=4,
    critic_rounds=1,
    rigs=8,
    ticks=60,
    batch=4,
    chunk=30,
    critic_hidden=8,
    checkpoint_rounds=2,
)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a student that has learnt nothing."""
    torch.manual_seed(0)
    student = acting(GruStudent(UNITS))
    assert isinstance(student, Acting)
    path = tmp_path_factory.mktemp("student") / "any.safetensors"
    write_any(path, student, {"family": "cartpole"})
    return str(path)


def test_the_surrogates_gradient_is_torchs() -> None:
    random = np.random.default_rng(0)
    ticks, rigs, clip = 24, 3, 0.2
    inputs = random.normal(0, 1, (ticks, rigs, WIDTH)).astype(np.float32)
    before, asked, advantages = random.uniform(-1, 1, (3, ticks, rigs)).astype(np.float32)
    deviation = random.uniform(0.6, 1.0, (ticks, rigs)).astype(np.float32)
    running = random.random((ticks, rigs)) < 0.8
    student = GruStudent(4)
    duties, _ = student(torch.from_numpy(inputs))
    normal = torch.distributions.Normal(duties, torch.from_numpy(deviation))
    old = torch.distributions.Normal(torch.from_numpy(before), torch.from_numpy(deviation))
    done, better = torch.from_numpy(asked), torch.from_numpy(advantages)
    ratio = torch.exp(normal.log_prob(done) - old.log_prob(done))
    assert ratio.min() < 1.0 - clip and ratio.max() > 1.0 + clip, "some are clipped"
    least = torch.minimum(ratio * better, ratio.clamp(1.0 - clip, 1.0 + clip) * better)
    loss = -(least * torch.from_numpy(running)).sum() / running.size
    expected = torch.autograd.grad(loss, list(student.parameters()))
    divergence = torch.distributions.kl_divergence(old, normal)[torch.from_numpy(running)].mean()
    surrogate = Surrogate(student)
    found, clipped, _ = surrogate.of(
        inputs, before, asked, deviation, advantages, running, clip, surrogate.begin(rigs)
    )
    for one, other in zip(expected, student.parameters(), strict=True):
        assert other.grad is not None
        np.testing.assert_allclose(one, other.grad, rtol=1e-3, atol=1e-6)
    assert found == pytest.approx(float(divergence.detach()), rel=1e-4)
    assert 0.0 < clipped < 1.0


def test_advantages_are_those_of_the_returns_if_all_rewards_are_looked_at(
    begun: str, tmp_path: Path
) -> None:
    """Looking ahead for ever, what the critic says of later states does not matter, but for where
    the episode was cut."""
    ticks, rigs = 5, 2
    settings = replace(SMALL, begin=begun, ticks=ticks, rigs=rigs, lookahead_s=1e9)
    run = Reinforcement(settings, tmp_path)
    random = np.random.default_rng(0)
    seen = random.normal(0, 1, (ticks + 1, rigs, MOTION + NUMBERS + UNITS)).astype(np.float32)
    running = np.ones((ticks + 1, rigs), np.bool_)
    running[3:, 1] = False  # met its limit in the third tick
    rewards = random.random((ticks, rigs)).astype(np.float32) * running[:-1]
    nothing = np.zeros((ticks, rigs), np.float32)
    periods_s = np.array([0.5, 1.0], np.float32)
    practised = Practised(nothing, nothing, nothing, nothing, rewards, running, seen, periods_s)
    advantages, returns = run._judged(practised)
    worths = run.critic.worths(seen)
    for rig, last in enumerate((5, 3)):
        fading = np.exp(-periods_s[rig] / settings.horizon_s) ** np.arange(ticks + 1)
        whole = (rewards[:last, rig] * fading[:last]).sum()
        end = fading[5] * worths[5, 0] if rig == 0 else -fading[2] * settings.limit_cost
        assert returns[0, rig] == pytest.approx(whole + end, rel=1e-4)
        assert advantages[0, rig] == pytest.approx(whole + end - worths[0, rig], rel=1e-3)
    assert not advantages[3:, 1].any()


@pytest.mark.parametrize("family", families())
def test_a_critic_sees_the_motion_and_the_numbers_of_each_unit(family: str) -> None:
    rigs = [draw_rig(family, k) for k in range(40)]
    episodes = PendulumEpisodes(rigs, range(40), start="uniform")
    seen_of = Seen(ModelBased(rigs, episodes.parameters))
    state = np.ones((40, UNITS), np.float32)
    seen = seen_of.of(episodes.units.motion, episodes.duty, state)
    assert seen.shape == (40, MOTION + NUMBERS + UNITS) and np.isfinite(seen).all()
    assert np.abs(seen).max() < 12.0, "of about the same size"
    constant = seen.std(axis=0) < 1e-3
    assert constant[:-UNITS].sum() == 1, "the duty before the first one is 0"
    episodes.step(np.ones(40))
    later = seen_of.of(episodes.units.motion, episodes.duty, state)
    changed = (later != seen).any(axis=0)
    assert changed[:MOTION].all() and not changed[MOTION:].any()
    assert Critic(UNITS, 8).worths(np.stack([seen, later])).shape == (2, 40)


def test_what_earns_more_becomes_likelier(begun: str, tmp_path: Path) -> None:
    """The reward is what the noise was, so that the duty must rise."""
    settings = replace(SMALL, begin=begun, rounds=60, rigs=8, learning_rate=1e-2)
    run = Reinforcement(settings, tmp_path)
    practised = run._drive(0)
    before = practised.duties.mean()
    noise = practised.asked - practised.duties
    for number in range(20, 26):
        run._learn(number, practised, noise)
    actor = acting(run.student)
    state = actor.reset(8)
    duties = []
    for inputs in practised.inputs:
        duty, state = actor.step(inputs, state)
        duties.append(duty)
    assert np.mean(duties) > before + 0.02


def test_a_run_that_was_killed_ends_as_one_that_was_not(
    begun: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SMALL, begin=begun)
    whole = Reinforcement(settings, tmp_path / "whole")
    whole.run()
    stopped = Reinforcement(settings, tmp_path / "parts")
    with monkeypatch.context() as patch:
        drive = stopped._drive

        def killed(number: int) -> Practised:
            if number == 3:
                raise KeyboardInterrupt
            return drive(number)

        patch.setattr(stopped, "_drive", killed)
        with pytest.raises(KeyboardInterrupt):
            stopped.run()
    # The last checkpoint is that after two rounds.
    resumed = Reinforcement(settings, tmp_path / "parts")
    assert resumed.round == 2
    resumed.run()
    one, _, rounds = read_reinforced(tmp_path / "whole")
    other, read, _ = read_reinforced(tmp_path / "parts")
    assert rounds == 4 and read["begin"] == begun
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (read_any(Path(begun)).weight != one.weight).any()
    curve = [json.loads(line) for line in (tmp_path / "whole" / CURVE).read_text().splitlines()]
    assert [row["round"] for row in curve] == [0, 1, 2, 3]
    assert ["change" in row for row in curve] == [False, True, True, True]
    with pytest.raises(UserError, match="other settings"):
        Reinforcement(replace(settings, noise=0.1), tmp_path / "whole")


def test_a_damaged_or_missing_run_is_told_in_one_line(begun: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="reinforce a student there first"):
        read_reinforced(tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(b"rubbish")
    with pytest.raises(UserError, match="is damaged"):
        read_reinforced(tmp_path)
    with pytest.raises(UserError, match="is damaged"):
        Reinforcement(replace(SMALL, begin=begun), tmp_path)
    with pytest.raises(UserError, match="no student at"):
        Reinforcement(replace(SMALL, begin=str(tmp_path / "none")), tmp_path / "other")
