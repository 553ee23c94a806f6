"""Muon: its steps reach all directions of a matrix, and so dense students come further."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sparsectl.training.nn.flat import FlatAdam
from sparsectl.training.nn.muon import RATE, DenseMuon
from sparsectl.training.students.masked import MaskedStudent
from tests.training.students.test_students import random_layers

SIZES = (24, 32, 32, 4)
Optimiser = Callable[[MaskedStudent, float], FlatAdam | DenseMuon]


def drawn(turn: int) -> Tensor:
    return torch.randn(256, SIZES[0], generator=torch.Generator().manual_seed(turn))


def student_of(seed: int) -> MaskedStudent:
    """A student of usual first weights."""
    layers = [
        replace(layer, mean=layer.mean * (2 / layer.mean.shape[1]) ** 0.5, bias=0.1 * layer.bias)
        for layer in random_layers(seed, SIZES, 1.0)
    ]
    return MaskedStudent(layers)


def error(student: MaskedStudent, teacher: MaskedStudent, turn: int) -> Tensor:
    observations = drawn(turn)
    labels = teacher(observations).detach()
    return (student(observations) - labels).square().sum(dim=1).mean()


def learnt(optimiser: Optimiser, rate: float, steps: int = 1_500) -> float:
    """Return the error, on other rows, after so many steps."""
    student, teacher = student_of(1), student_of(2)
    learner = optimiser(student, rate)
    for step in range(steps):
        learner.set_learning_rate(rate * (1 - step / steps))
        learner.step(error(student, teacher, step))
    return error(student, teacher, steps).item()


@pytest.mark.parametrize("rate", [2e-3, 3e-3])
def test_a_dense_student_comes_further_than_by_adam_at_the_presets_rates(rate: float) -> None:
    assert learnt(DenseMuon, rate) < 0.5 * learnt(FlatAdam, rate)


@pytest.mark.parametrize("layer", range(3))
def test_a_step_goes_along_most_directions_alike(layer: int) -> None:
    student, teacher = student_of(1), student_of(2)
    before = student.weights[layer].detach().clone()
    DenseMuon(student, 1e-3).step(error(student, teacher, 0))
    moved = student.weights[layer].detach() - before
    sizes = torch.linalg.svdvals(moved / (0.2 * RATE * 1e-3 * max(moved.shape) ** 0.5))
    assert sizes.max() < 1.3  # as far as Newton and Schulz's five iterations overshoot
    assert (sizes > 0.5).double().mean() > 0.7
    values = torch.linalg.svdvals(student.weights[layer].grad)
    assert (values > 0.5 * values.max()).double().mean() < 0.5  # not so in the gradient
