"""Hard episodes are found and weigh as much as they should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.training.test_dataset import small
from training.config import DaggerSettings
from training.coverage import Coverage, hard_rows
from training.dataset import Dataset, joined


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
    coverage = Coverage(episodes([100.0] * 50), None, None, DaggerSettings(), 0, tmp_path)
    assert len(coverage.all(100.0)) == len(coverage)
    coverage.parts.append(episodes([100.0, 10.0, 80.0, 100.0]))
    data = coverage.all(100.0)
    lost = 4 / len(coverage)
    assert lost < 0.03
    extra = len(data) - len(coverage)
    assert abs((extra + 4) / len(data) - 0.25) < 0.01
    assert (data.rewards[len(coverage) :].max()) == 10.0
    plain = DaggerSettings(hard_share=0.0)
    coverage.settings = plain
    assert len(coverage.all(100.0)) == len(coverage)
    assert len(coverage.all(None)) == len(coverage)
