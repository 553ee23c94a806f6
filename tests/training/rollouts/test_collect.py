"""Collecting is parallel and repeatable."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy  # its parts load when they are first used; stats takes a second

from sparsectl.common.errors import UserError
from sparsectl.experiments.processes import is_disk_full
from sparsectl.policy.load import load_acting
from sparsectl.training.config import CollectConfig
from sparsectl.training.data.dataset import ARRAYS
from sparsectl.training.data.files import read_dataset
from sparsectl.training.environments.environments import make_environment
from sparsectl.training.rollouts.block import Behaviour
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.rollouts.episodes import Rollouts
from tests.training.balancer import ENVIRONMENT, GAINS


def test_the_transitions_do_not_depend_on_the_number_of_workers(
    balancer: Path, tmp_path: Path
) -> None:
    config = CollectConfig(balancer, ENVIRONMENT, tmp_path / "1.npz", 2500, workers=1, noise=2.0)
    result = collect(config)
    assert result["transitions"] == 2500
    collect(replace(config, out=tmp_path / "3.npz", workers=3))
    one, three = (read_dataset(tmp_path / name) for name in ("1.npz", "3.npz"))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))
    collect(replace(config, out=tmp_path / "seed.npz", seed=1))
    other = read_dataset(tmp_path / "seed.npz")
    assert not np.array_equal(one.observations[0], other.observations[0])


def test_labels_are_the_teachers_and_actions_are_executed(balancing: Path) -> None:
    dataset = read_dataset(balancing)
    expected = 3 * np.tanh(dataset.observations @ GAINS.T)
    np.testing.assert_allclose(dataset.teacher_actions, expected, atol=1e-5)
    assert np.abs(dataset.actions).max() <= 3
    within = ~(dataset.terminations | dataset.truncations)[:-1]
    np.testing.assert_array_equal(
        dataset.observations[1:][within], dataset.next_observations[:-1][within]
    )
    assert dataset.metadata["environment"] == ENVIRONMENT
    assert dataset.metadata["teacher"]["parameters"] == 5


def test_the_noise_is_gaussian_of_the_deviation_asked_for(balancing: Path) -> None:
    """By a statistic of known distribution: at any seed a false alarm comes once in a million.

    The bounds cut the noise, and how often depends on the states. Drawn anew among the values that
    a bound has cut, the distribution function of what was added is uniform in each transition,
    whatever came before it. 4,000 of those tell deviations a fifth apart.
    """
    dataset = read_dataset(balancing)
    actions = (dataset.teacher_actions, dataset.actions)
    label, executed = (a[:, 0].astype(np.float64) for a in actions)
    tail = 0.25e-6  # on each side of the squares; as much again for the form

    def plausible(deviation: float) -> bool:
        below = scipy.stats.norm.cdf((executed - label) / deviation)
        among = np.random.default_rng(0).random(len(executed))
        below = np.where(executed >= 3, below + among * (1 - below), below)
        below = np.where(executed <= -3, among * below, below)
        squares = float((scipy.stats.norm.ppf(below) ** 2).sum())
        low, high = scipy.stats.chi2.ppf([tail, 1 - tail], len(executed))
        return low < squares < high and scipy.stats.kstest(below, "uniform").pvalue > 2 * tail

    assert plausible(0.5 * 3)
    assert not plausible(0.4 * 3) and not plausible(0.6 * 3)


def test_the_actor_drives_and_the_teacher_labels(balancer: Path) -> None:
    teacher = load_acting(balancer)
    network = replace(teacher.network, weights=(-GAINS,))  # type: ignore[type-var]
    student = replace(teacher, network=network)
    with Rollouts(ENVIRONMENT, 1) as rollouts:
        data = rollouts.transitions(Behaviour(student, teacher), (1, 0), 50, "test")
    np.testing.assert_allclose(data.actions, -data.teacher_actions, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env": "NoSuch-v0"}, "cannot make the environment 'NoSuch-v0'"),
        ({"env": "Pendulum-v1"}, "the policy takes 4 observations"),
        ({"env": "CartPole-v1"}, "gives 1 real numbers, but CartPole-v1 takes one of 2 choices"),
        ({"transitions": 0}, "transitions is 0"),
        ({"noise": -1.0}, "noise is -1;"),
        ({"out": Path("d.hdf5")}, "out is d.hdf5"),
        ({"teacher": Path("none.zip")}, "none.zip does not exist"),
    ],
)
def test_mistakes_are_one_line(
    change: dict[str, object], message: str, balancer: Path, tmp_path: Path
) -> None:
    config = CollectConfig(balancer, ENVIRONMENT, tmp_path / "d.npz", 100, workers=1)
    with pytest.raises(UserError, match=message) as caught:
        collect(replace(config, **change))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_environments_are_made_by_name() -> None:
    assert make_environment("sparsectl/sensorsini_cartpole-v0").observation_space.shape == (25,)


NEXT_PROCESS = """
import multiprocessing, signal, sys
from pathlib import Path
from sparsectl.training.config import CollectConfig
from sparsectl.training.rollouts.collect import collect

def tell() -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    print(signal.SIGINT in mask, default, flush=True)

if __name__ == "__main__":
    collect(CollectConfig(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), 10, workers=1))
    process = multiprocessing.get_context("forkserver").Process(target=tell)
    process.start()
    process.join()
"""


def test_other_processes_from_the_workers_server_hear_ctrl_c(
    balancer: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(NEXT_PROCESS)
    words = [sys.executable, str(script), str(balancer), ENVIRONMENT, str(tmp_path / "d.npz")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_a_disk_without_room_is_full_before_it_is_written_to(
    balancer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the words by which a sweep knows a full disk, which is no failure of the run."""
    config = CollectConfig(balancer, ENVIRONMENT, tmp_path / "1.npz", 2500)
    monkeypatch.setattr("sparsectl.training.rollouts.collect.room_at", lambda folder: 1000)
    with pytest.raises(UserError, match="2500, which take 115,000 bytes, 1,000 are free") as caught:
        collect(config)
    assert is_disk_full(str(caught.value)) and not config.out.exists()
    with pytest.raises(UserError, match="at most, so ask for fewer"):
        collect(replace(config, transitions=10**9))
