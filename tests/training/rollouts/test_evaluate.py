"""Returns with intervals: the same seeds, the same figures; a misfit gets one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.progress import Progress
from sparsectl.training.config import EvaluateConfig
from sparsectl.training.rollouts.evaluate import (
    evaluate,
    expected_steps,
    run_episodes,
    successes_of,
    summarise,
)
from sparsectl.training.rollouts.intervals import mean_interval
from sparsectl.training.teachers.teach import signals_of
from sparsectl.training.teachers.teacher_file import Weights, write_teacher

ENV = "sparsectl/qube_servo2-v0"


def random_weights(inputs: int, outputs: int = 1) -> Weights:
    rng = np.random.default_rng(0)
    sizes = [inputs, 8, outputs]
    return [
        (rng.normal(0, 0.3, (high, low)).astype(np.float32), np.zeros(high, np.float32))
        for low, high in zip(sizes, sizes[1:], strict=False)
    ]


def still(observations: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.zeros((len(observations), 1), np.float32)


def test_the_same_seed_gives_the_same_returns_and_another_seed_others() -> None:
    first, again, other = (run_episodes(ENV, still, episodes=3, seed=s) for s in (7, 7, 8))
    assert (first.returns == again.returns).all()
    assert (first.returns != other.returns).all()


def test_an_episodes_return_does_not_depend_on_its_neighbours() -> None:
    many = run_episodes(ENV, still, episodes=4, seed=7)
    alone = run_episodes(ENV, still, episodes=1, seed=9)
    assert alone.returns[0] == many.returns[2]


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    trials = 200
    covered = 0
    for _ in range(trials):
        low, high = mean_interval(rng.normal(3.0, 1.0, 40))
        covered += low <= 3.0 <= high
    assert 0.88 * trials <= covered <= 0.99 * trials


def test_equal_returns_have_an_interval_of_no_width() -> None:
    assert mean_interval(np.full(10, 4.0)) == (4.0, 4.0)


def test_evaluate_takes_the_environment_from_the_policy_and_saves_a_trace(tmp_path: Path) -> None:
    teacher, trace = tmp_path / "teacher.onnx", tmp_path / "trace.npz"
    write_teacher(teacher, random_weights(25), signals_of(ENV), ENV, {})
    result = evaluate(EvaluateConfig(policy=teacher, episodes=2, trace=trace))
    assert result["env"] == ENV
    assert result["return_low"] <= result["return_mean"] <= result["return_high"]
    assert result["return_min"] <= result["return_mean"]
    with np.load(trace) as arrays:
        lengths = {len(arrays[name]) for name in arrays}
        assert set(arrays) == {"time_s", "base_position", "pole_angle_rad", "duty"}
    assert len(lengths) == 1


def test_summary_has_the_promised_keys() -> None:
    keys = set(summarise(run_episodes(ENV, still, episodes=2, seed=0)))
    assert keys == {
        "return_mean",
        "return_low",
        "return_high",
        "return_min",
        "cvar_1",
        "cvar_1_low",
        "cvar_1_high",
        "success_rate",
        "episodes",
    }


@pytest.mark.parametrize(
    ("env", "said"),
    [("Pendulum-v1", None), ("InvertedPendulum-v5", 0.0), (ENV, 0.0)],
)
def test_success_is_what_the_environment_says_or_its_threshold_and_nothing_else(
    env: str, said: float | None
) -> None:
    """An episode of Pendulum-v1 never terminates, which is no success."""
    summary = summarise(run_episodes(env, still, episodes=2, seed=0))
    assert summary.get("success_rate") == said


def test_a_threshold_is_met_by_the_return_however_the_episode_ends() -> None:
    returns = np.array([173.0, 200.0, 250.0])
    assert successes_of([None] * 3, returns, None) is None
    assert successes_of([None] * 3, returns, 200.0).tolist() == [False, True, True]  # type: ignore[union-attr]
    assert successes_of([True, False, True], returns, 200.0).tolist() == [True, False, True]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("NoSuchEnv-v0", "environment 'NoSuchEnv-v0'"),
        ("CartPole-v1", "gives 1 real numbers, but CartPole-v1 takes one of 2 choices"),
        ("InvertedPendulum-v5", "25"),
    ],
)
def test_an_environment_that_does_not_fit_is_named(tmp_path: Path, env: str, message: str) -> None:
    teacher = tmp_path / "teacher.onnx"
    write_teacher(teacher, random_weights(25), signals_of(ENV), ENV, {})
    with pytest.raises(UserError, match=message):
        evaluate(EvaluateConfig(policy=teacher, env=env, episodes=1))


def test_a_policy_with_other_actions_is_refused(tmp_path: Path) -> None:
    teacher = tmp_path / "teacher.onnx"
    signals = signals_of(ENV)
    signals["action"] = signals["action"] * 2
    write_teacher(teacher, random_weights(25, outputs=2), signals, ENV, {})
    with pytest.raises(UserError, match="2 actions"):
        evaluate(EvaluateConfig(policy=teacher, env=ENV, episodes=1))


@pytest.mark.parametrize(
    ("ended", "running", "episodes", "longest", "steps"),
    [
        ([], 100, 100, 1000, 100_000),
        ([], 256, 600, None, None),
        ([10, 30], 2, 6, 200, 40 + 400 + 40),
        ([10, 30], 2, 6, None, 40 + 40 + 40),
        ([10, 30], 0, 2, 200, 40),
    ],
)
def test_the_steps_to_come_are_reckoned_from_what_has_ended(
    ended: list[int], running: int, episodes: int, longest: int | None, steps: int | None
) -> None:
    assert expected_steps(np.array(ended, np.int64), running, episodes, longest) == steps


def test_progress_goes_by_steps_and_ends_at_its_total(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int | None]] = []
    update = Progress.update

    def noted(bar: Progress, count: int = 1) -> bool | None:
        shown: bool | None = update(bar, count)
        seen.append((bar.n, bar.total))
        return shown

    monkeypatch.setattr(Progress, "update", noted)
    lengths = run_episodes(ENV, still, episodes=3, seed=0, progress="shown").lengths
    assert len(seen) == lengths.max()  # not once an episode, which all end together
    assert seen[-1] == (lengths.sum(), lengths.sum())


def test_a_trace_of_what_has_no_plant_is_refused_before_the_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "teacher.onnx"
    write_teacher(path, random_weights(3), signals_of("Pendulum-v1"), "Pendulum-v1", {})
    monkeypatch.setattr("sparsectl.training.rollouts.evaluate.run_episodes", None)
    for trace, reported in {"t.npz": "has no plant to trace", "/": "which is a folder"}.items():
        with pytest.raises(UserError, match=reported):
            evaluate(EvaluateConfig(path, trace=tmp_path / trace))
