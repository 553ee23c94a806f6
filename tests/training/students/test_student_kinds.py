"""The kinds of student: what their noise is, what they are cut by, what they pay."""

from __future__ import annotations

import math
import typing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsectl.policy.convolution import Convolution
from sparsectl.training.config import DistillConfig
from sparsectl.training.distillation.methods import METHODS
from sparsectl.training.students.deterministic import DeterministicStudent
from sparsectl.training.students.group import GroupStudent
from sparsectl.training.students.images import patches
from sparsectl.training.students.penalties import PENALTIES
from sparsectl.training.students.priors import PRIORS, log_alpha
from sparsectl.training.students.registry import STUDENTS
from sparsectl.training.students.variational import NOISES

SIZES = (5, 7, 6, 2)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def noise(kind: str, students: int, rows: int, seed: int = 0) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    widths = STUDENTS[kind].noise_widths(SIZES)
    return [torch.randn(students, rows, width, generator=random) for width in widths]


@pytest.mark.parametrize("kind", STUDENTS)
def test_students_are_trained_at_once_as_if_alone(kind: str) -> None:
    both, one = STUDENTS[kind](SIZES, generators(0, 1)), STUDENTS[kind](SIZES, generators(1))
    observations = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(2))
    drawn = noise(kind, 2, 9)
    actions = both(observations, drawn)
    alone = one(observations[1:], [part[1:] for part in drawn])
    torch.testing.assert_close(actions[1:], alone)
    for left, right in zip(both.posterior(1), one.posterior(0), strict=True):
        np.testing.assert_array_equal(left.mean, right.mean)


@pytest.mark.parametrize("kind", STUDENTS)
def test_without_noise_a_student_acts_as_its_posterior(kind: str) -> None:
    student = STUDENTS[kind](SIZES, generators(3))
    observations = torch.randn(1, 9, 5, generator=torch.Generator().manual_seed(2))
    still = [torch.zeros_like(part) for part in noise(kind, 1, 9)]
    hidden = observations[0].numpy()
    *layers, last = student.posterior()
    for layer in layers:
        hidden = np.maximum(hidden @ layer.mean.T + layer.bias, 0)
    expected = np.tanh(hidden @ last.mean.T + last.bias)
    np.testing.assert_allclose(
        student(observations, still)[0].detach().numpy(), expected, atol=1e-6
    )


def test_a_neurons_weights_share_its_noise_and_go_together() -> None:
    student = GroupStudent(SIZES, generators(0))
    first = student.linear_layers()[0]
    with torch.no_grad():
        first.scale_log_sigma.copy_(torch.tensor([-4.0, 2.0, -1.0, 1.2, -3.0]))
    layer = student.posterior()[0]
    noise_of_neurons = log_alpha(first.scale, first.scale_log_sigma)[0, 0].detach().numpy()
    np.testing.assert_allclose(layer.log_alpha, np.tile(noise_of_neurons, (7, 1)), atol=1e-4)
    np.testing.assert_array_equal(layer.kept(2.0), np.tile(noise_of_neurons < 2, (7, 1)))


def test_the_group_layers_noise_has_the_moments_of_sampled_weights() -> None:
    random = torch.Generator().manual_seed(0)
    layer = GroupStudent((6, 3), generators(0)).linear_layers()[0]
    count = 200_000
    with torch.no_grad():
        layer.log_sigma.copy_(torch.randn(1, 3, 6, generator=random) - 1)
        layer.scale_log_sigma.copy_(torch.randn(1, 1, 6, generator=random) - 1)
        inputs = torch.randn(6, generator=random)
        drawn = [torch.randn(1, count, width, generator=random) for width in (6, 3)]
        outputs = layer(inputs.expand(1, count, 6), *drawn)[0]
        scale = layer.scale + layer.scale_log_sigma.exp() * torch.randn(
            count, 1, 6, generator=random
        )
        weights = torch.randn(count, 3, 6, generator=random)
        weights = (layer.mean + weights * layer.log_sigma.exp()) * scale
        sampled = weights @ inputs + layer.bias[0, 0]
    error = 6 * sampled.std(dim=0) / math.sqrt(count)
    assert ((outputs.mean(dim=0) - sampled.mean(dim=0)).abs() < 2 * error).all()
    torch.testing.assert_close(outputs.std(dim=0), sampled.std(dim=0), rtol=0.02, atol=0)


def test_the_two_forms_of_the_noise() -> None:
    inputs, log_sigma = torch.tensor([[[1.0, -2.0]]]), torch.tensor([[[0.5, 0.1]]]).log()
    local, authors = NOISES["local"](inputs, log_sigma), NOISES["authors"](inputs, log_sigma)
    assert local.item() == pytest.approx(math.sqrt(0.25 + 4 * 0.01))
    assert authors.item() == pytest.approx(0.25 + 2 * 0.01)


def test_penalties() -> None:
    mean = torch.tensor([[[3.0, 0.0], [4.0, -1.0]]])
    assert PENALTIES["l1"](mean, mean, 2.0).tolist() == [[[1.5, 0.0], [2.0, 0.5]]]
    groups = PENALTIES["group-lasso"](mean, mean, 2.0)
    torch.testing.assert_close(groups, torch.tensor([[[5.0, 1.0]]]) * math.sqrt(2) / 2)
    assert not PENALTIES.keys() & PRIORS.keys()


def test_a_deterministic_student_pays_and_learns() -> None:
    student = DeterministicStudent(SIZES, generators(0))
    parts = student.divergences(lambda mean, _: PENALTIES["group-lasso"](mean, mean, 1.0))
    torch.stack([part.sum() for part in parts]).sum().backward()  # type: ignore[no-untyped-call]
    assert all(mean.grad is not None and mean.grad.isfinite().all() for mean in student.means)


def test_the_command_line_knows_every_method() -> None:
    hint = typing.get_type_hints(DistillConfig)["method"]
    assert set(typing.get_args(hint)) == {"auto", *METHODS}


@settings(max_examples=20, deadline=None)
@given(
    st.integers(3, 7), st.integers(3, 7), st.integers(1, 3), st.integers(1, 2), st.integers(0, 9)
)
def test_patches_are_those_of_the_policy(
    height: int, width: int, channels: int, stride: int, seed: int
) -> None:
    geometry = Convolution(channels, height, width, (3, 2), (stride, 3 - stride))
    images = torch.rand(2, 4, geometry.inputs, generator=torch.Generator().manual_seed(seed))
    found = patches(images, geometry).reshape(2, 4, geometry.count, geometry.patch_size)
    np.testing.assert_array_equal(found.numpy(), geometry.patches(images.numpy()))
