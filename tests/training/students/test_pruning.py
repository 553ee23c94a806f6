"""Scores and cuts: the count is met, the best stay, whole neurons go together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl.training.students.encodings import ENCODINGS
from sparsectl.training.students.masked import MaskedStudent, kept_weights
from sparsectl.training.students.pruning import SCORES, connected_weights, cut
from tests.training.students.test_students import forward, random_layers


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 120), st.sampled_from(sorted(SCORES)))
def test_a_cut_leaves_as_many_as_asked_for_at_most(seed: int, keep: int, score: str) -> None:
    layers = random_layers(seed, (5, 9, 7, 2), 0.8)
    student = MaskedStudent(layers)
    observations = torch.randn(50, 5, generator=torch.Generator().manual_seed(seed))
    student.cut(SCORES[score], observations, keep)
    left = student.layers()
    assert kept_weights(left) <= keep
    for before, after in zip(layers, left, strict=True):
        assert before.mask is not None and after.mask is not None
        assert not (after.mask & ~before.mask).any()


def test_a_cut_keeps_the_largest() -> None:
    random = np.random.default_rng(0)
    scores = [random.random((6, 5)).astype(np.float32), random.random((1, 6)).astype(np.float32)]
    masks = [np.ones((6, 5), np.bool_), np.ones((1, 6), np.bool_)]
    left = cut(scores, masks, 12)
    assert 0 < connected_weights(left) <= 12
    lowest = min(score[mask].min() for score, mask in zip(scores, left, strict=True))
    highest = max(score[~mask].max() for score, mask in zip(scores, left, strict=True))
    assert lowest > highest


def test_a_layer_of_low_scores_does_not_go_first() -> None:
    random = np.random.default_rng(0)
    shapes = ((8, 30), (8, 8), (1, 8))
    scores = [random.random(shape).astype(np.float32) for shape in shapes]
    for low in range(3):
        lower = [score * (1e-6 if low == index else 1) for index, score in enumerate(scores)]
        left = [np.ones(shape, np.bool_) for shape in shapes]
        for keep in (120, 60, 30, 10):
            left = cut(lower, left, keep)
            assert 0 < connected_weights(left) <= keep


def test_scores_see_what_a_weight_adds() -> None:
    weights = [torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0]])]
    inputs = [torch.tensor([4.0, 1.0]), torch.tensor([0.5])]
    expected = {
        "magnitude": [[[1.0, 2.0]], [[3.0]]],
        "activation": [[[4.0, 2.0]], [[1.5]]],
        "neuron": [[[1.5, 1.5]], [[1.5]]],
        "curvature": [[[4.0, 2.0]], [[1.5]]],  # of a student that is too large for it
    }
    assert expected.keys() == SCORES.keys()
    for name, values in expected.items():
        got = SCORES[name](weights, inputs)
        assert [value.tolist() for value in got] == values, name


def test_neurons_go_whole() -> None:
    layers = random_layers(1, (6, 12, 10, 2), 1.0)
    student = MaskedStudent(layers)
    student.cut(SCORES["neuron"], torch.randn(100, 6), 90)
    left = student.layers()
    neurons = [6, *(int(layer.mask.any(axis=1).sum()) for layer in left if layer.mask is not None)]
    used = int(left[0].mask.any(axis=0).sum()) if left[0].mask is not None else 0
    sizes = [used, *neurons[1:]]
    assert kept_weights(left) == sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))
    assert 0 < kept_weights(left) <= 90


@pytest.mark.parametrize(("name", "levels"), [("int8", 127), ("int16", 32767)])
def test_integers_are_multiples_of_a_step_a_row(name: str, levels: int) -> None:
    weight = torch.randn(4, 30, generator=torch.Generator().manual_seed(0))
    weight[2] = 0.0
    rounded = ENCODINGS[name](weight)
    step = weight.abs().amax(dim=1, keepdim=True) / levels
    assert (rounded - weight).abs().max() <= 0.5001 * step.max()
    whole = torch.where(step > 0, rounded / step.clamp_min(1e-30), 0)
    torch.testing.assert_close(whole, whole.round(), atol=2e-3, rtol=0)
    assert torch.equal(ENCODINGS[name](rounded), rounded) or name == "int16"


@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings_pass_the_gradient_and_the_layers_hold_what_was_computed_with(name: str) -> None:
    weight = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    ENCODINGS[name](weight).sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None and torch.equal(weight.grad, torch.ones(3, 5))
    layers = random_layers(2, (5, 8, 2), 0.7)
    student = MaskedStudent(layers, ENCODINGS[name])
    observations = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    actions = student(torch.from_numpy(observations)).detach().numpy()
    np.testing.assert_allclose(forward(list(student.layers()), observations), actions, atol=1e-5)


def test_float16_holds_what_it_says() -> None:
    layers = MaskedStudent(random_layers(2, (5, 8, 2), 0.7), ENCODINGS["float16"]).layers()
    for layer in layers:
        assert (layer.mean == layer.mean.astype(np.float16)).all()
