"""A teacher and its dataset, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsectl.training.collect import collect
from sparsectl.training.config import CollectConfig
from tests.training.balancer import ENVIRONMENT, write_balancer


@pytest.fixture(scope="session")
def balancer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hand-tuned teacher's file."""
    return write_balancer(tmp_path_factory.mktemp("teacher") / "balancer.safetensors")


@pytest.fixture(scope="session")
def balancing(balancer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4,000 transitions of the balancer, with noise in all episodes."""
    path = tmp_path_factory.mktemp("dataset") / "balancing.npz"
    collect(
        CollectConfig(balancer, ENVIRONMENT, path, 4000, noise=0.5, noise_fraction=1.0, workers=1)
    )
    return path
