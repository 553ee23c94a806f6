"""What would take more memory than there is, is refused before it takes any."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sparsectl.common import memory
from sparsectl.common.errors import UserError
from sparsectl.common.memory import check_memory, dense_parameters, free_bytes
from sparsectl.training.config import DistillConfig, TeachConfig
from sparsectl.training.data.batches import Batches
from sparsectl.training.data.files import read_dataset
from sparsectl.training.distillation.distill import distill
from sparsectl.training.teachers.teach import teach

WIDE = (65_536, 65_536)


def test_what_fits_is_let_through() -> None:
    assert 0 < free_bytes() < 2**50
    check_memory(free_bytes() // 2, "half", "")
    with pytest.raises(UserError, match="hidden 9: that takes .* GiB of memory, .* narrower"):
        check_memory(free_bytes() * 4, "hidden 9", "give narrower layers")


def test_parameters_are_weights_and_biases() -> None:
    assert dense_parameters((5, 256, 256, 1)) == 5 * 256 + 256 * 256 + 256 + 513


def test_datasets_without_room_are_refused(
    balancing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = read_dataset(balancing)
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable: 10 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    with pytest.raises(UserError, match=r"g.npz has [\d,]+ bytes: that takes .* collect fewer"):
        distill(DistillConfig(balancing, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match=r"minibatches of [\d,]+ transitions with [\d]+ numbers"):
        Batches(dataset, dataset.signals, 32, torch.device("cpu"))


def test_networks_without_room_are_refused(balancing: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="hidden 65536 65536 .* GiB of memory"):
        teach(TeachConfig(env="Pendulum-v1", hidden=WIDE, out=out))
    with pytest.raises(UserError, match="hidden 65536 65536 .* GiB of memory"):
        distill(DistillConfig(balancing, out, hidden=WIDE))
    with pytest.raises(UserError, match="batches of 10,000,000"):
        distill(DistillConfig(balancing, out, hidden=(4096, 4096), batch_size=10_000_000))
    assert not out.exists()
