"""Which connections of a GRU student are left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sparsectl.common.errors import UserError
from sparsectl.plants.drawing import draw_rig
from sparsectl.policy.load import load
from sparsectl.training.any_rig.acting import SIGNALS
from sparsectl.training.any_rig.deploy import policy_for, write_for_rig
from sparsectl.training.any_rig.distill import AnyRigDistillation, AnyRigSettings
from sparsectl.training.any_rig.recurrent import GruStudent, acting
from sparsectl.training.any_rig.sparsity import SCORES, Sparsity

SMALL = AnyRigSettings(rounds=6, rigs=6, ticks=60, updates=2, batch=6, chunk=30, units=4, kept=2)
ALL = 3 * 4 * (SIGNALS + 4) + 4


def _left(student: GruStudent) -> list[np.ndarray[Any, Any]]:
    own = acting(student)
    return [own.weight_ih[:, :SIGNALS], own.weight_hh, own.weight]


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("keep", [1, 30, ALL])
def test_as_many_are_left_as_asked(score: str, keep: int, tmp_path: Path) -> None:
    run = AnyRigDistillation(replace(SMALL, keep=keep, score=score), tmp_path)
    run.run()
    for student in (run.student, run.averaged):
        assert sum(np.count_nonzero(each) for each in _left(student)) == keep
        # What a rig's file says goes into the biases, and is never cut.
        assert acting(student).weight_ih[:, SIGNALS:].all()
        assert all(np.isfinite(each).all() for each in _left(student))


def test_what_was_cut_is_no_weight_of_the_policy(tmp_path: Path) -> None:
    run = AnyRigDistillation(replace(SMALL, keep=30), tmp_path)
    run.run()
    rig = draw_rig("cartpole", 5)
    student = acting(run.averaged)
    assert policy_for(student, rig).kept_weights == 30
    write_for_rig(tmp_path / "student.safetensors", student, rig, {})
    assert load(tmp_path / "student.safetensors").kept_weights == 30


def test_the_smallest_and_the_least_curved_go_first() -> None:
    torch.manual_seed(1)
    student = GruStudent(3)
    adam = torch.optim.Adam(student.parameters(), 1e-9)
    inputs = torch.randn(20, 4, 9)
    # Nothing depends on a signal that is always 0, whatever its weights.
    inputs[..., 0] = 0.0
    student(inputs)[0].square().sum().backward()
    adam.step()
    by_size, by_curvature = (
        Sparsity(student, GruStudent(3), 3 * 3 * (SIGNALS + 3) + 3 - 9, score, 0)
        for score in ("magnitude", "fisher")
    )
    for each in (by_size, by_curvature):
        each.cut(1.0, adam)
    read, held, duty = by_size.weights
    sizes = torch.cat([each.abs().flatten() for each in (read[:, :SIGNALS], held, duty)])
    pairs = zip(by_size.weights, by_size.masks, strict=True)
    cut = torch.cat([weight[~mask].abs() for weight, mask in pairs])
    assert torch.equal(cut.sort().values, sizes.sort().values[:9])
    assert not by_curvature.masks[0][:, 0].any()
    assert sum(int((~mask).sum()) for mask in by_curvature.masks) == 9


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keep": 3, "score": "chance"}, "'chance'"),
        ({"keep": ALL + 1}, str(ALL + 1)),
        ({"keep": -1}, "-1"),
        ({"keep": 5, "units": 0}, "keep 5"),
    ],
)
def test_what_cannot_be_kept_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        AnyRigDistillation(replace(SMALL, **changes), tmp_path)
