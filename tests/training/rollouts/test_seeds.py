"""Series of seeds: no two purposes ever share an episode."""

from __future__ import annotations

import ast
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.command_line.config import ParetoConfig
from sparsectl.commands.pareto import measured
from sparsectl.common.errors import UserError
from sparsectl.training.config import EvaluateConfig
from sparsectl.training.rollouts.block import Behaviour, Episode, Seed
from sparsectl.training.rollouts.episodes import Rollouts
from sparsectl.training.rollouts.evaluate import evaluate
from sparsectl.training.rollouts.seeds import BLOCK, Series, episode_seed
from sparsectl.training.rollouts.together import Together
from tests.training.balancer import SHORT

ROOT = Path(__file__).parents[3]


@given(
    st.sampled_from(Series),
    st.integers(0, BLOCK - 1),
    st.lists(st.integers(0, 2**63), max_size=3),
)
def test_every_seed_lies_in_the_block_of_its_series(
    series: Series, number: int, entropy: list[int]
) -> None:
    seed = episode_seed(series, number, *entropy)
    assert seed // BLOCK == series
    assert seed < 2**31


def test_blocks_are_apart_and_evaluations_seeds_are_the_episodes_own() -> None:
    assert len({int(series) for series in Series}) == len(Series)
    assert [episode_seed(Series.EVALUATION, k) for k in (0, 10_000)] == [0, 10_000]


@given(st.integers(0, 2**31), st.integers(0, 5))
def test_a_runs_episodes_differ_among_themselves(seed: int, number: int) -> None:
    seeds = [episode_seed(Series.DAGGER, k, seed, number) for k in range(500)]
    assert len(set(seeds)) == 500


@pytest.mark.parametrize("number", [-1, BLOCK, 5_000_000_000])
def test_a_seed_of_another_series_is_refused(number: int) -> None:
    with pytest.raises(UserError, match=f"episode seed {number} is out of range"):
        episode_seed(Series.EVALUATION, number)


def test_pareto_chooses_by_other_episodes_than_evaluate_reports(
    balancer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sparsectl.training.rollouts.evaluate as module

    begin = module.together
    seeds: set[int] = set()

    def noting(env: str, options: None, series: Series, numbers: list[int]) -> Together:
        seeds.update(episode_seed(series, number) for number in numbers)
        return begin(env, options, series, numbers)

    monkeypatch.setattr(module, "together", noting)
    seen = []
    for run in (
        lambda: measured(ParetoConfig((balancer,), env=SHORT, episodes=3), balancer),
        lambda: evaluate(EvaluateConfig(balancer, env=SHORT, episodes=3), None),
    ):
        seeds.clear()
        run()
        seen.append(set(seeds))
    assert len(seen[0]) == len(seen[1]) == 3
    assert not seen[0] & seen[1]


def test_episodes_of_a_series_do_not_depend_on_where_one_begins(balancer: Path) -> None:
    from sparsectl.policy.load import load_acting

    run: list[int] = []

    class Counted(Rollouts):
        def _submit(
            self, behaviour: Behaviour, seed: Seed, numbers: range
        ) -> Future[list[Episode]]:
            run.extend(numbers)
            return super()._submit(behaviour, seed, numbers)

    policy = load_acting(balancer)
    with Counted(SHORT, 1) as rollouts:
        whole = rollouts.returns(policy, (Series.EVIDENCE,), 5)
        rest = rollouts.returns(policy, (Series.EVIDENCE,), 2, first=3)
    np.testing.assert_array_equal(whole[3:], rest)
    assert run == [0, 1, 2, 3, 4, 3, 4]  # and none that nobody asked for


def test_no_environment_is_seeded_past_the_registry() -> None:
    """Every `reset(seed=…)` but in tests takes what `episode_seed` gives.

    An environment's or a wrapper's own `reset` passes on what it was given, and so does a
    `RunningEpisode` or episodes `OfRig`, whose callers are looked at in its place.
    """
    found = []
    for folder in ("training", "commands", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            resets = [
                node
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef) and node.name == "reset"
            ] + [
                node
                for node in ast.walk(tree)
                if isinstance(node, ast.ClassDef) and node.name == "RunningEpisode"
            ]
            passed_on = {id(node) for reset in resets for node in ast.walk(reset)}
            found += [
                f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(word.value)}"
                for node in ast.walk(tree)
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "reset"
                and id(node) not in passed_on
                for word in node.keywords
                if word.arg == "seed" and not ast.unparse(word.value).startswith("episode_seed(")
            ]
            found += [
                f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
                for node in ast.walk(tree)
                if isinstance(node, ast.Call)
                and ast.unparse(node.func) in ("RunningEpisode", "OfRig")
                and not all(ast.unparse(seed).startswith("episode_seed(") for seed in _seeds(node))
            ]
    assert not found


def _seeds(call: ast.Call) -> list[ast.expr]:
    """The seed that an episode is given; none where its generator continues."""
    given = call.args[1:2]
    if given and isinstance(given[0], ast.ListComp):
        return [given[0].elt]
    return given + [word.value for word in call.keywords if word.arg == "seed"]
