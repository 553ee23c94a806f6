"""The engine: gradients against autograd, many students as if each were alone, resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sparsectl.training.bpd.bpd import BayesianPolicyDistillation
from sparsectl.training.data.files import read_dataset
from sparsectl.training.nn.critics import DTYPES, Networks, TwinCritics
from sparsectl.training.settings import BpdSettings

CPU = torch.device("cpu")
SETTINGS = BpdSettings(
    steps=100, hidden=(16, 12), critic_hidden=(24, 20), batch_size=64, kl_multiplier=0.1
)


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def critics(sizes: tuple[int, ...], students: int, dtype: str = "float32") -> TwinCritics:
    return TwinCritics(sizes, generators(students), 32, 1e-2, DTYPES[dtype], CPU)


def plain_values(networks: Networks, number: int, inputs: Tensor) -> Tensor:
    """What a network's definition says."""
    hidden = inputs
    for weight, bias in zip(networks.weights, networks.biases, strict=True):
        hidden = (hidden @ weight[number] + bias[number]).relu()
    last = networks.last_weight[number] * hidden
    return last.sum(dim=1) + networks.last_bias[number]


def transitions(students: int) -> tuple[Tensor, ...]:
    """State and action, next observation, next action, reward, discount."""
    random = torch.Generator().manual_seed(7)
    shapes = ((students, 32, 5), (students, 32, 3), (students, 32, 2), (students, 32))
    parts = [torch.randn(shape, generator=random) for shape in shapes]
    return (*parts, torch.full((students, 32), 0.9))


@pytest.mark.parametrize("hidden", [(8,), (8, 6), (8, 6, 7)])
def test_the_critics_gradients_are_those_of_autograd(hidden: tuple[int, ...]) -> None:
    sizes = (5, *hidden, 1)
    own = critics(sizes, 2)
    leaf = own.values.clone().requires_grad_()
    networks = Networks(leaf, sizes, 4, torch.float32)
    batch = transitions(2)
    loss = torch.zeros(2)
    for student in range(2):
        pair = (student, 2 + student)
        following = torch.cat([batch[1], batch[2]], dim=2)[student]
        after = torch.stack([plain_values(networks, k, following) for k in pair]).detach()
        wanted = batch[3][student] + 0.9 * after.amin(dim=0)
        for number in pair:
            error = plain_values(networks, number, batch[0][student]) - wanted
            loss[student] += error.square().mean()
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    torch.testing.assert_close(own.learn(*batch), loss.detach())
    torch.testing.assert_close(own.adam.gradient, gradient)


@pytest.mark.parametrize("hidden", [(8,), (8, 6), (8, 6, 7)])
def test_gradients_in_the_actions_are_those_of_autograd(hidden: tuple[int, ...]) -> None:
    own = critics((5, *hidden, 1), 2)
    observations, actions = transitions(2)[1:3]
    actions.requires_grad_()
    inputs = torch.cat([observations, actions], dim=2)
    values = torch.stack([plain_values(own.online, k, inputs[k]) for k in range(2)])
    (gradient,) = torch.autograd.grad(values.sum(), actions)
    its_values, its_gradient = own.first.value_and_gradient(observations, actions.detach())
    torch.testing.assert_close(its_values, values.detach())
    torch.testing.assert_close(its_gradient, gradient)
    torch.testing.assert_close(own.first.value(inputs.detach()), values.detach())


def test_bfloat16_rounds_products_and_nothing_else() -> None:
    exact, low = critics((5, 32, 32, 1), 2), critics((5, 32, 32, 1), 2, "bfloat16")
    batch = transitions(2)
    torch.testing.assert_close(low.learn(*batch), exact.learn(*batch), rtol=0.02, atol=0)
    error = (low.adam.gradient - exact.adam.gradient).norm() / exact.adam.gradient.norm()
    assert 1e-4 < error < 0.02
    assert low.values.dtype == torch.float32
    assert not torch.equal(low.online.weights[0].float(), low.values[: 4 * 5 * 32].view(4, 5, 32))


def trained(
    dataset: Path, steps: int, seeds: list[int], multipliers: list[float], **changes: Any
) -> BayesianPolicyDistillation:
    data = read_dataset(dataset)
    settings = replace(SETTINGS, **changes)
    engine = BayesianPolicyDistillation(data, data.signals, settings, seeds, CPU, multipliers)
    for _ in range(steps):
        engine.update()
    return engine


@pytest.mark.parametrize("dtype", DTYPES)
def test_students_trained_together_are_those_trained_alone(balancing: Path, dtype: str) -> None:
    seeds, multipliers = [3, 1, 4, 3], [0.1, 0.1, 0.5, 2.0]
    together = trained(balancing, 20, seeds, multipliers, critic_dtype=dtype)
    for number, (seed, multiplier) in enumerate(zip(seeds, multipliers, strict=True)):
        alone = trained(balancing, 20, [seed], [multiplier], critic_dtype=dtype)
        for mine, its in zip(together.posterior(number), alone.posterior(), strict=True):
            for name in ("mean", "log_sigma", "bias"):
                left, right = getattr(mine, name), getattr(its, name)
                torch.testing.assert_close(left, right, rtol=1e-3, atol=2e-5, msg=name)
        for name, loss in alone.losses.items():
            torch.testing.assert_close(together.losses[name][number], loss[0], rtol=2e-3, atol=1e-5)


def test_the_same_seeds_give_the_same_bits(balancing: Path) -> None:
    one, two, other = (trained(balancing, 6, seeds, [1, 1]) for seeds in ([0, 1], [0, 1], [0, 2]))
    state = two.state()
    for name, tensor in one.state().items():
        assert torch.equal(tensor, state[name]), name
    assert not torch.equal(one.student_adam.values, other.student_adam.values)


@pytest.mark.parametrize("dtype", DTYPES)
def test_going_on_from_a_state_is_bit_for_bit(balancing: Path, dtype: str) -> None:
    whole = trained(balancing, 5, [0, 1], [1, 1], critic_dtype=dtype)
    saved = {name: tensor.clone() for name, tensor in whole.state().items()}
    resumed = trained(balancing, 0, [5, 6], [1, 1], critic_dtype=dtype)
    resumed.load(saved, whole.steps_done)
    for _ in range(4):
        whole.update()
        resumed.update()
    state = resumed.state()
    for name, tensor in whole.state().items():
        assert torch.equal(tensor, state[name]), name


def test_the_students_gradients_are_those_of_the_papers_loss(balancing: Path) -> None:
    engine = trained(balancing, 6, [0], [1.0])
    random = [torch.Generator().manual_seed(9)]
    batch = engine.batches.sample(random)
    state = [generator.get_state() for generator in engine.randoms]
    noise = [part.clone() for part in engine.noise.draw(engine.randoms)]
    parameters = list(engine.student.parameters())
    actions = engine.student(batch.observations, noise)
    size = len(engine.batches)
    inputs = torch.cat([batch.observations, actions], dim=2)
    q1 = plain_values(engine.critics.online, 0, inputs[0])
    imitation = (actions - batch.labels).square().sum(dim=2).mean()
    divergence = torch.stack([d.sum() for d in engine.student.divergences(engine.divergence)]).sum()
    lambda_ = engine.settings.value_weight * size / q1.detach().abs().mean()
    loss = -lambda_ * q1.mean() + size * imitation + engine.kl_weights()[0] * divergence
    gradients = torch.autograd.grad(loss, parameters)
    engine.randoms[0].set_state(state[0])
    engine._update_students(batch)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(engine.losses["imitation"][0], imitation.detach())
    torch.testing.assert_close(engine.losses["divergence"][0], divergence.detach())
    torch.testing.assert_close(engine.losses["q1"][0], q1.detach().mean())
