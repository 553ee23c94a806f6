"""Fine-tuning on minibatches: who learns by which optimiser, and resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsectl.common.errors import UserError
from sparsectl.policy.student_file import StudentLayer
from sparsectl.training.data.files import read_dataset
from sparsectl.training.finetuning.first_order import FirstOrder
from sparsectl.training.nn.flat import FlatAdam
from sparsectl.training.nn.muon import DenseMuon
from sparsectl.training.settings import FinetuneSettings
from tests.training.students.test_students import random_layers

DENSE = tuple(random_layers(0, (4, 12, 12, 1), 1.0))
MASKED = (replace(DENSE[0], mask=np.tri(12, 4, dtype=bool)), *DENSE[1:])


def begun(dataset: Path, layers: tuple[StudentLayer, ...], keep: int = 0) -> FirstOrder:
    data = read_dataset(dataset)
    settings = FinetuneSettings(steps=20, cuts=2)
    return FirstOrder(data, data.signals, layers, settings, 0, torch.device("cpu"), keep)


@pytest.mark.parametrize(
    ("layers", "keep", "optimiser"),
    [
        (DENSE, 0, DenseMuon),
        (DENSE, 1_000, DenseMuon),
        (DENSE, 60, FlatAdam),
        (MASKED, 0, FlatAdam),
    ],
)
def test_it_resumes_bit_for_bit(
    layers: tuple[StudentLayer, ...], keep: int, optimiser: type, balancing: Path
) -> None:
    whole, resumed = begun(balancing, layers, keep), begun(balancing, layers, keep)
    assert isinstance(whole.optimiser, optimiser)
    for step in range(20):
        if step == 7:
            saved = {name: tensor.clone() for name, tensor in whole.state().items()}
        whole.update()
    resumed.load(saved, 7)
    for _ in range(7, 20):
        resumed.update()
    for name, tensor in whole.state().items():
        assert torch.equal(tensor, resumed.state()[name]), name


def test_a_checkpoint_of_a_version_that_learnt_otherwise_is_refused(balancing: Path) -> None:
    by_adam = begun(balancing, DENSE, keep=60).state()
    with pytest.raises(UserError, match="another version; give --restart, or remove"):
        begun(balancing, DENSE).load(by_adam, 7)
