"""Variational dropout against its definition; masks and the file they are kept in."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.networks import Mlp
from sparsectl.policy.student_file import (
    StudentFile,
    StudentLayer,
    read_student_file,
    write_student,
)
from sparsectl.training.bpd.schedules import SCHEDULES
from sparsectl.training.nn.flat import FlatAdam
from sparsectl.training.students.masked import MaskedStudent, kept_weights, simplified
from sparsectl.training.students.variational import VariationalLinear, VariationalStudent
from tests.training.data.test_dataset import small


def test_local_reparameterisation_has_the_moments_of_sampled_weights() -> None:
    random = torch.Generator().manual_seed(0)
    layer = VariationalLinear(6, 3, [random], weight_std=1.0)
    with torch.no_grad():
        layer.log_sigma.copy_(torch.randn(1, 3, 6, generator=random) - 1)
        layer.bias.copy_(torch.randn(1, 1, 3, generator=random))
        inputs = torch.randn(6, generator=random)
        count = 100_000
        drawn = torch.randn(1, count, 3, generator=random)
        outputs = layer(inputs.expand(1, count, 6), drawn)[0]
        noise = torch.randn(count, 3, 6, generator=random)
        weights = layer.mean[0] + noise * layer.log_sigma[0].exp()
        sampled = weights @ inputs + layer.bias[0, 0]
    error = 5 * sampled.std(dim=0) / math.sqrt(count)  # five standard errors
    assert ((outputs.mean(dim=0) - sampled.mean(dim=0)).abs() < 2 * error).all()
    torch.testing.assert_close(outputs.std(dim=0), sampled.std(dim=0), rtol=0.02, atol=0)
    assert torch.corrcoef(outputs.T).fill_diagonal_(0).abs().max() < 0.02


def test_zero_inputs_have_finite_gradients() -> None:
    random = torch.Generator().manual_seed(0)
    student = VariationalStudent((4, 8, 2), [random])
    noise = [torch.randn(1, 5, width, generator=random) for width in (8, 2)]
    student(torch.zeros(1, 5, 4), noise).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in student.parameters())


def random_layers(seed: int, sizes: tuple[int, ...], kept: float) -> list[StudentLayer]:
    random = np.random.default_rng(seed)
    return [
        StudentLayer(
            random.normal(size=(out, into)).astype(np.float32),
            np.full((out, into), -5, np.float32),
            random.normal(size=out).astype(np.float32),
            random.random((out, into)) < kept,
        )
        for into, out in zip(sizes, sizes[1:], strict=False)
    ]


def forward(layers: list[StudentLayer], observations: np.ndarray) -> np.ndarray:
    weights = tuple(np.where(layer.mask, layer.mean, 0) for layer in layers)
    n, m = weights[0].shape[1], weights[-1].shape[0]
    activations = ("relu",) * (len(layers) - 1) + ("tanh",)
    identity = [f(k, np.float32) for k in (n, m) for f in (np.zeros, np.ones)]
    limits = (np.full(m, -1, np.float32), np.full(m, 1, np.float32))
    biases = tuple(layer.bias for layer in layers)
    return Mlp(weights, biases, activations, *identity, *limits)(observations)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 9), min_size=2, max_size=5),
    st.floats(0, 1),
)
def test_simplifying_keeps_the_outputs(seed: int, sizes: list[int], kept: float) -> None:
    layers = random_layers(seed, tuple(sizes), kept)
    simple = list(simplified(layers, [layer.kept(2) for layer in layers]))
    observations = np.random.default_rng(seed).normal(size=(20, sizes[0])).astype(np.float32)
    np.testing.assert_allclose(
        forward(simple, observations), forward(layers, observations), atol=2e-5
    )
    assert kept_weights(simple) <= kept_weights(layers)
    assert all(layer.bias.flags.writeable for layer in simple)  # torch warns of others
    for layer, after in zip(simple, simple[1:], strict=False):
        assert layer.mask is not None and after.mask is not None
        np.testing.assert_array_equal(layer.mask.any(axis=1), after.mask.any(axis=0))


@given(st.floats(-6, 6), st.floats(0, 4))
@settings(max_examples=30, deadline=None)
def test_a_higher_threshold_keeps_more(threshold: float, more: float) -> None:
    layer = replace(random_layers(0, (20, 20), 1)[0], mask=None)
    layer = replace(layer, log_sigma=np.random.default_rng(1).normal(size=(20, 20)) * 2)
    fewer = layer.kept(threshold)
    assert (fewer <= layer.kept(threshold + more)).all()
    np.testing.assert_array_equal(fewer, layer.log_alpha < threshold)


@pytest.mark.parametrize("kept", [0.1, 0.4, 1.0])
def test_the_masked_student_is_what_its_file_acts(kept: float) -> None:
    layers = random_layers(3, (5, 8, 8, 2), kept)
    observations = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    actions = MaskedStudent(layers)(torch.from_numpy(observations)).detach().numpy()
    np.testing.assert_allclose(actions, forward(layers, observations), atol=1e-5)
    back = list(MaskedStudent(layers).layers())
    np.testing.assert_allclose(forward(back, observations), actions, atol=1e-5)
    for before, after in zip(layers, back, strict=True):
        np.testing.assert_array_equal(after.mean[after.mask], before.mean[after.mask])
        assert not (after.mask & ~before.mask).any()


def student_file() -> StudentFile:
    signals = small().signals
    metadata = {
        "activations": ["relu", "tanh"],
        "log_alpha_threshold": 2.0,
        "signals": signals,
        "environment": "Pendulum-v1",
    }
    return StudentFile(tuple(random_layers(0, (6, 4, 1), 0.5)), metadata)


def test_student_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    write_student(path, student_file())
    back = read_student_file(path)
    for one, two in zip(student_file().layers, back.layers, strict=True):
        for name in ("mean", "log_sigma", "bias", "mask"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert back.metadata["signals"] == small().signals
    assert back.kept_weights == kept_weights(student_file().layers)


def test_bad_student_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    good = student_file()
    nan = replace(good.layers[0], bias=np.full(4, np.nan, np.float32))
    bad_shape = replace(good.layers[1], bias=np.zeros(2, np.float32))
    bad_files = {
        "NaN or infinity": replace(good, layers=(nan, good.layers[1])),
        "do not fit together": replace(good, layers=(good.layers[0], bad_shape)),
        "do not chain": replace(good, layers=(good.layers[1], good.layers[0])),
        "has no tensor layers.1": replace(good, layers=good.layers[:1]),
        "activation 'snake'": replace(
            good, metadata=good.metadata | {"activations": ["snake", "tanh"]}
        ),
        "log_alpha_threshold": replace(good, metadata=good.metadata | {"log_alpha_threshold": ""}),
        "signals": replace(good, metadata=good.metadata | {"signals": {}}),
        "version 9": replace(good, metadata=good.metadata | {"version": 9}),
    }
    for message, bad in bad_files.items():
        write_student(path, bad)
        with pytest.raises(UserError, match=message) as caught:
            read_student_file(path)
        assert "\n" not in str(caught.value)
    write_student(path, good)
    whole = path.read_bytes()
    for content in (whole[:-4], whole[:30], b"", b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is not a student|is empty"):
            read_student_file(path)


def test_flat_adam_is_adam_and_leaves_other_modules_alone() -> None:
    def module() -> torch.nn.Linear:
        torch.manual_seed(0)
        return torch.nn.Linear(4, 3)

    mine, theirs, other = module(), module(), module()
    flat = FlatAdam(mine, 1e-2)
    adam = torch.optim.Adam(theirs.parameters(), lr=1e-2)
    inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))
    for _ in range(20):
        flat.step((mine(inputs) + other(inputs)).square().mean())
        adam.zero_grad()
        (theirs(inputs) + other(inputs)).square().mean().backward()
        adam.step()
    torch.testing.assert_close(mine.weight, theirs.weight)
    torch.testing.assert_close(mine.bias, theirs.bias)
    assert flat.values.data_ptr() == mine.weight.data_ptr()


def test_the_papers_schedule() -> None:
    assert [SCHEDULES["linear"](p, 4, 2) for p in (0, 0.25, 0.5, 1)] == [0, 1, 2, 2]


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_rise_to_the_cap_where_the_linear_one_does(name: str) -> None:
    values = [SCHEDULES[name](p, 4, 2) for p in np.linspace(0, 1, 21)]
    assert values == sorted(values)
    assert values[10:] == pytest.approx([2.0] * 11)
    assert values[0] == (2 if name == "constant" else 0)
    assert SCHEDULES[name](0.5, 4, 0) == 0
