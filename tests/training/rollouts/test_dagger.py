"""Hard episodes are found and weigh as much as they should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.policy.acting.networks import Mlp
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.load import load_acting
from sparsectl.policy.signals_json import normaliser
from sparsectl.training.data.dataset import Dataset, joined
from sparsectl.training.rollouts.block import Behaviour
from sparsectl.training.rollouts.dagger import AggregatedData, episodes_of, hard_rows, mined
from sparsectl.training.rollouts.episodes import Rollouts
from sparsectl.training.settings import DaggerSettings
from tests.training.balancer import SHORT
from tests.training.data.test_dataset import small


def episodes(returns: list[float], length: int = 4) -> Dataset:
    """Episodes of these returns, the reward in their last step."""
    one = small().first(1)
    data = joined([one] * (len(returns) * length))
    rewards = np.zeros(len(data), np.float32)
    rewards[length - 1 :: length] = returns
    ends = np.zeros(len(data), np.bool_)
    ends[length - 1 :: length] = True
    return replace(data, rewards=rewards, terminations=ends, truncations=np.zeros_like(ends))


def test_hard_rows_are_those_of_whole_episodes_that_lost() -> None:
    hard = hard_rows(episodes([100.0, 10.0, 80.0, 5.0]), 50.0)
    np.testing.assert_array_equal(np.flatnonzero(hard), range(4, 8))  # the last one may be cut


def test_hard_transitions_make_up_their_share(tmp_path: Path) -> None:
    aggregated = AggregatedData(episodes([100.0] * 50), None, None, DaggerSettings(), 0, tmp_path)
    assert len(aggregated.all(100.0)) == len(aggregated)
    aggregated.parts.append(episodes([100.0, 10.0, 80.0, 100.0]))
    data = aggregated.all(100.0)
    lost = 4 / len(aggregated)
    assert lost < 0.03
    extra = len(data) - len(aggregated)
    assert abs((extra + 4) / len(data) - 0.25) < 0.01
    assert (data.rewards[len(aggregated) :].max()) == 10.0
    plain = DaggerSettings(hard_share=0.0)
    aggregated.settings = plain
    assert len(aggregated.all(100.0)) == len(aggregated)
    assert len(aggregated.all(None)) == len(aggregated)


@given(
    st.lists(st.tuples(st.floats(-5, 5, width=32), st.integers(1, 6)), min_size=1, max_size=30),
    st.integers(1, 120),
)
def test_mining_keeps_the_worst_episodes_and_ordinary_ones(
    drawn: list[tuple[float, int]], count: int
) -> None:
    driven = joined([episodes([value], length) for value, length in drawn])
    kept = mined(driven, count)
    assert len(kept) == min(count, len(driven))
    rows, values = episodes_of(driven)
    if count >= len(driven):
        assert kept is driven
        return
    whole = np.array([value for value, _ in drawn], np.float32)
    np.testing.assert_array_equal(values, whole)
    order = [int(i) for i in np.argsort(values[:-1], kind="stable")]
    lengths = np.cumsum([len(rows[i]) for i in order])
    worst = order[: int(np.searchsorted(lengths, count // 2, side="right"))]
    at = 0
    for index in worst:
        part = kept.rewards[at : at + len(rows[index])]
        np.testing.assert_array_equal(part, driven.rewards[rows[index]])
        at += len(part)
    ordinary = [i for i in range(len(rows)) if i not in worst]
    rest = np.concatenate([driven.rewards[rows[i]] for i in ordinary])
    np.testing.assert_array_equal(kept.rewards[at:], rest[: count - at])


def test_a_mined_round_has_worse_episodes_and_is_the_same_with_more_workers(
    balancer: Path, tmp_path: Path
) -> None:
    """What pushes the wrong way falls, at once or later: the worst episodes are the shortest."""
    teacher = load_acting(balancer)
    network = teacher.network
    assert isinstance(network, Mlp)
    falling = ActingPolicy(replace(network, action_scale=np.full(1, -0.1, np.float32)), 5, "")
    settings = DaggerSettings(transitions=300)
    rounds = []
    for name, workers, tries in (("plain", 1, 1), ("mined", 1, 8), ("more", 2, 8)):
        with Rollouts(SHORT, workers) as rollouts:
            empty = rollouts.transitions(Behaviour(teacher), (0,), 5, "none")
            aggregated = AggregatedData(empty, teacher, rollouts, settings, 0, tmp_path / name)
            rounds.append(aggregated.add(1, lambda: falling, tries))
            assert len(aggregated) == 305
    plain, hard, again = rounds
    assert len(hard) == len(plain) == 300
    assert hard.terminations.sum() > plain.terminations.sum() + 3
    assert hard.digest() == again.digest()
    read = AggregatedData(empty, None, None, settings, 0, tmp_path / "mined")
    assert read.add(1, lambda: teacher, 8).digest() == hard.digest()


def test_a_round_has_episodes_with_uniform_initial_states_where_the_environment_has_them(
    balancer: Path, tmp_path: Path
) -> None:
    teacher = load_acting(balancer)
    settings = DaggerSettings(transitions=200, uniform_starts=0.5)
    with Rollouts(SHORT, 1) as rollouts:
        assert rollouts.starts == ()
        empty = rollouts.transitions(Behaviour(teacher), (0,), 5, "none")
        aggregated = AggregatedData(empty, teacher, rollouts, settings, 0, tmp_path / "without")
        assert len(aggregated.add(1, lambda: teacher)) == 200
    rig = "sparsectl/sensorsini_cartpole-v0"
    with Rollouts(rig, 1) as rollouts:
        still = ActingPolicy(motionless(rollouts.signals), 0, "")
        empty = rollouts.transitions(Behaviour(still), (0,), 5, "none")
        aggregated = AggregatedData(empty, still, rollouts, settings, 0, tmp_path / "with")
        added = aggregated.add(1, lambda: still)
        resumed = AggregatedData(empty, still, rollouts, settings, 0, tmp_path / "with")
        assert resumed.add(1, lambda: pytest.fail("driven again")).digest() == added.digest()
    assert len(added) == 300
    hanging, uniform = aggregated.parts[1:]
    assert (len(hanging), len(uniform)) == (200, 100)
    upright = [part.observations[:, 3::5] for part in (hanging, uniform)]  # cosine of the angle
    assert upright[0].max() < -0.9 and upright[1].max() > 0.9


def motionless(signals: dict[str, Any]) -> Mlp:
    """Leaves the motor off."""
    n, m = len(normaliser(signals)[0]), 1
    zeros, ones = np.zeros(m, np.float32), np.ones(m, np.float32)
    weights = (np.zeros((m, n), np.float32),)
    unscaled = (np.zeros(n, np.float32), np.ones(n, np.float32))
    return Mlp(weights, (zeros,), ("tanh",), *unscaled, zeros, ones, -ones, ones)
