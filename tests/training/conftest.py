"""A teacher and its dataset, made once."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from pathlib import Path

import pytest

from sparsectl.training.config import CollectConfig
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.rollouts.episodes import PRELOADED, one_thread
from tests.training.balancer import ENVIRONMENT, write_balancer


@pytest.fixture(scope="session", autouse=True)
def preloaded() -> None:
    """Where the fork server of rollouts is not running yet, it will have imported all of training:
    the tests that kill a training start it from there too."""
    PRELOADED.append("sparsectl.training.distillation.distill")


@pytest.fixture(scope="session")
def trainers(preloaded: None) -> None:
    """Processes of the fork server are copies of one that has imported all of training."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    with one_thread():
        forkserver.ensure_running()


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
