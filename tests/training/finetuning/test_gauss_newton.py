"""Curvature: the Jacobian as autograd has it, steps that lower the error, cuts that cost least."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsectl.policy.student_file import StudentLayer, read_student_file
from sparsectl.training.distillation.distill import distill
from sparsectl.training.finetuning import gauss_newton
from sparsectl.training.finetuning.gauss_newton import (
    Parameters,
    curvature,
    cut,
    damped_step,
    mean_error,
)
from sparsectl.training.students.masked import MaskedStudent, kept_weights
from sparsectl.training.students.pruning import connected_weights
from tests.training.students.test_students import random_layers
from tests.training.test_distill_targets import config_of, online

SIZES = st.sampled_from([(5, 9, 7, 2), (4, 6, 1), (3, 1), (6, 8, 8, 8, 3)])


def rows(seed: int, count: int, size: int) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def exact(student: MaskedStudent) -> MaskedStudent:
    """The student in float64, so that nothing but a residual formula can tell two results apart."""
    student.masks = [mask.double() for mask in student.masks]
    return student.double()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), SIZES)
def test_the_jacobian_is_that_of_autograd(seed: int, sizes: tuple[int, ...]) -> None:
    student = exact(MaskedStudent(random_layers(seed, sizes, 0.7)))
    parameters, observations = Parameters(student), rows(seed, 20, sizes[0]).double()
    jacobian = observations.new_empty(sizes[-1], len(parameters.values()), 20)
    actions = parameters.jacobian(observations, jacobian)
    torch.testing.assert_close(actions.t(), student(observations).detach())
    for row in (0, 7, 19):
        for output in range(sizes[-1]):
            student.zero_grad()
            student(observations)[row, output].backward()
            expected = []
            for weight, bias, kept in zip(
                student.weights, student.biases, parameters.kept, strict=True
            ):
                assert weight.grad is not None and bias.grad is not None
                expected += [weight.grad[kept], bias.grad]
            torch.testing.assert_close(jacobian[output, :, row], torch.cat(expected))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), SIZES, st.integers(1, 50))
def test_curvature_is_that_of_all_rows_at_once(
    seed: int, sizes: tuple[int, ...], rows_at_once: int
) -> None:
    student = exact(MaskedStudent(random_layers(seed, sizes, 0.7)))
    observations, labels = (
        rows(seed + k, 40, size).double() for k, size in ((0, sizes[0]), (1, sizes[-1]))
    )
    parameters = Parameters(student)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gauss_newton, "ROWS_AT_ONCE", rows_at_once)
        known = curvature(parameters, observations, labels)
    jacobian = observations.new_empty(sizes[-1], len(parameters.values()), 40)
    residual = parameters.jacobian(observations, jacobian) - labels.t()
    flat = jacobian.transpose(0, 1).flatten(1)
    torch.testing.assert_close(known.matrix, flat @ flat.t() / 40)
    assert torch.equal(known.matrix, known.matrix.t())
    torch.testing.assert_close(known.gradient, flat @ residual.flatten() / 40)
    assert known.error == pytest.approx(float(residual.square().sum() / 40))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), SIZES)
def test_values_go_in_as_they_came_out(seed: int, sizes: tuple[int, ...]) -> None:
    student = MaskedStudent(random_layers(seed, sizes, 0.7))
    before = [layer.mean.copy() for layer in student.layers()]
    parameters = Parameters(student)
    parameters.assign(parameters.values())
    for layer, mean in zip(student.layers(), before, strict=True):
        np.testing.assert_array_equal(layer.mean, mean)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), SIZES, st.floats(1e-6, 1e3))
def test_a_step_never_raises_the_error(seed: int, sizes: tuple[int, ...], damping: float) -> None:
    student = MaskedStudent(random_layers(seed, sizes, 0.7))
    observations, labels = rows(seed, 60, sizes[0]), rows(seed + 1, 60, sizes[-1]).tanh()
    before = mean_error(student, observations, labels)
    said, following = damped_step(student, observations, labels, damping)
    assert said == pytest.approx(before, rel=1e-4)
    assert mean_error(student, observations, labels) <= before * (1 + 1e-5)
    assert following > 0


def test_steps_find_the_network_that_made_the_labels() -> None:
    teacher = MaskedStudent(random_layers(3, (5, 8, 1), 1.0))
    start = random_layers(3, (5, 8, 1), 1.0)
    noise = np.random.default_rng(0)
    moved = [
        replace(layer, mean=layer.mean + 0.1 * noise.standard_normal(layer.mean.shape, np.float32))
        for layer in start
    ]
    student, observations = MaskedStudent(moved), rows(0, 2000, 5)
    labels = teacher(observations).detach()
    before, damping = mean_error(student, observations, labels), 1e-3
    for _ in range(30):
        _, damping = damped_step(student, observations, labels, damping)
    assert mean_error(student, observations, labels) < 1e-4 * before


def linear(weights: list[float]) -> tuple[StudentLayer, ...]:
    mean = np.array([weights], np.float32)
    return (StudentLayer(mean, np.zeros_like(mean), np.zeros(1, np.float32), mean != 0),)


def test_what_stays_makes_up_for_what_goes() -> None:
    """Of one layer and small outputs that is least squares on the observations that are left."""
    observations = rows(0, 4000, 3)
    observations[:, 1] = 0.9 * observations[:, 0] + 0.1 * observations[:, 1]
    student = MaskedStudent(linear([0.01, 0.012, 0.02]))
    labels = student(observations).detach()
    cut(student, observations, labels, 2)
    (layer,) = student.layers()
    assert layer.mask is not None and layer.mask.sum() == 2
    left = observations[:, torch.from_numpy(layer.mask[0])]
    expected = torch.linalg.lstsq(left, labels).solution[:, 0].numpy()
    np.testing.assert_allclose(layer.mean[layer.mask], expected, rtol=0.02)
    assert not layer.mask[0, 0]  # the smaller of the two that say the same


def test_a_large_weight_that_others_can_stand_for_goes_before_a_small_one_that_none_can() -> None:
    observations = rows(0, 4000, 3)
    observations[:, 1] = observations[:, 0] + 0.01 * observations[:, 1]
    student = MaskedStudent(linear([0.05, 0.06, 0.02]))
    cut(student, observations, student(observations).detach(), 2)
    (layer,) = student.layers()
    assert layer.mask is not None
    assert layer.mask.tolist() == [[False, True, True]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 100))
def test_a_cut_leaves_as_many_as_asked_for_at_most(seed: int, keep: int) -> None:
    layers = random_layers(seed, (5, 9, 7, 2), 0.8)
    student, observations = MaskedStudent(layers), rows(seed, 50, 5)
    before = connected_weights([mask.numpy() > 0 for mask in student.masks])
    cut(student, observations, rows(seed + 1, 50, 2).tanh(), keep)
    left = kept_weights(student.layers())
    assert left <= keep
    assert left >= min(keep, before) - 9  # one cut may leave a neuron alone with its inputs
    assert all(np.isfinite(layer.mean).all() for layer in student.layers())


def test_curvature_is_of_all_rows_alike() -> None:
    student = MaskedStudent(random_layers(0, (5, 9, 1), 0.8))
    parameters, observations = Parameters(student), rows(0, 10_000, 5)
    labels = rows(1, 10_000, 1).tanh()
    whole = curvature(parameters, observations, labels)
    parts = [curvature(parameters, observations[k::2], labels[k::2]) for k in range(2)]
    for name in ("matrix", "gradient"):
        halves = [getattr(part, name) for part in parts]
        mean = (halves[0] + halves[1]) / 2
        torch.testing.assert_close(getattr(whole, name), mean, rtol=1e-4, atol=1e-6)
    assert whole.error == pytest.approx((parts[0].error + parts[1].error) / 2)
    assert whole.error == pytest.approx(mean_error(student, observations, labels), rel=1e-5)


def test_a_distillation_with_curvature_beats_one_without_at_few_weights(
    balancing: Path, tmp_path: Path
) -> None:
    errors = []
    for below in (0, 500):
        config = config_of(
            balancing,
            tmp_path / str(below),
            keep=24,
            **{
                "finetune.score": "curvature",
                "finetune.newton_below": below,
                "finetune.newton_steps": 20,
            },
        )
        result = distill(config)
        assert result["kept_weights"] <= 24
        errors.append(result["steps"][-1]["imitation_error"])
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize("steps", [1, 3])
def test_few_steps_reach_the_size_too(steps: int, balancing: Path, tmp_path: Path) -> None:
    config = config_of(
        balancing,
        tmp_path,
        keep=30,
        **{"finetune.newton_below": 500, "finetune.newton_steps": steps},
    )
    assert distill(config)["kept_weights"] <= 30


def test_a_methods_own_score_stays_in_force(
    balancer: Path, balancing: Path, tmp_path: Path
) -> None:
    config = online(
        balancing,
        balancer,
        tmp_path,
        keep=60,
        method="neurons",
        **{"finetune.newton_below": 500, "finetune.newton_steps": 10},
    )
    layers = read_student_file(Path(distill(config)["student"])).layers
    for layer in layers[:-1]:
        assert layer.mask is not None
        rows_left = layer.mask[layer.mask.any(axis=1)]
        assert (rows_left == rows_left[0]).all()  # whole neurons went
