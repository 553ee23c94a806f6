"""The tables of Policy Distillation: a short run of their command, and what they say of returns."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json, write_json

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def test_a_short_run_writes_a_row_for_each_student_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import policy_distillation

    out = tmp_path / "rows.json"
    config = policy_distillation.TablesConfig(
        games=("breakout",),
        losses=("kl",),
        sizes=(4,),
        seeds=(0,),
        parts=("single",),
        transitions=150,
        steps=3,
        finetune=0,
        episodes=1,
        teacher_episodes=1,
        runs=tmp_path,
        out=out,
    )
    policy_distillation.main(config)
    written = out.read_bytes()
    found = read_json(out)
    (row,) = found["rows"]
    assert (row["kind"], row["loss"], row["size"], row["seed"]) == ("single", "kl", 4, 0)
    assert row["weights"] == 3 * 36 + 64 * 3 * 10 + 10 * 3
    assert list(row["returns"]) == list(found["teachers"]) == ["breakout"]
    assert found["settings"]["steps"] == 3
    policy_distillation.main(config)
    assert out.read_bytes() == written
    policy_distillation.main(replace(config, episodes=3, teacher_episodes=2))
    longer = read_json(out)
    (further,) = longer["rows"]
    assert row["returns"]["breakout"] == further["returns"]["breakout"][:1]
    assert further == row | {"returns": further["returns"]}
    assert len(further["returns"]["breakout"]) == 3 and len(longer["teachers"]["breakout"]) == 2
    longer["rows"][0]["returns"] = {"breakout": [99.0]}
    write_json(out, longer)
    with pytest.raises(UserError, match="it is not the row's: give other --runs"):
        policy_distillation.main(replace(config, episodes=3))
    with pytest.raises(UserError, match=r"steps is 4, but .* has rows with 3; give another --out"):
        policy_distillation.main(replace(config, steps=4))
    write_json(out, found | {"teacher_marks": {"breakout": "0" * 12}})
    with pytest.raises(UserError, match="another teacher than that of the rows"):
        policy_distillation.main(config)


def test_a_sparse_student_stands_beside_a_small_one_of_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import policy_distillation
    import policy_distillation_tables as tables

    config = policy_distillation.TablesConfig(
        games=("breakout",),
        seeds=(0,),
        parts=("sparse",),
        kept=(2, 1),
        transitions=300,
        steps=3,
        finetune=9,
        episodes=1,
        teacher_episodes=1,
        runs=tmp_path,
        out=tmp_path / "rows.json",
    )
    policy_distillation.main(config)
    rows = read_json(config.out)["rows"]
    assert [(row["kind"], row["size"]) for row in rows] == [
        ("sparse", 2),
        ("small", 2),
        ("sparse", 1),
        ("small", 1),
    ]
    of_one = policy_distillation.load(policy_distillation.teacher_of("breakout")).kept_weights
    for sparse, small in zip(rows[::2], rows[1::2], strict=True):
        assert sparse["weights"] <= sparse["size"] / 100 * of_one + 0.5
        assert 0.9 * sparse["table_bytes"] < small["table_bytes"] <= sparse["table_bytes"]
        for row in (sparse, small):  # so that no verdict hangs on a score of 0
            row["returns"] = {"breakout": [1.0, 1.0]}
    write_json(config.out, {"rows": rows, "teachers": {"breakout": [2.0, 2.0]}})
    write_json(tmp_path / "none.json", {"rows": [], "teachers": {}})
    for name, file in (("RESULTS", config.out), ("FORMER", tmp_path / "none.json")):
        monkeypatch.setattr(tables, name, file)
    lines = tables.policy_distillation_bytes()[2:]
    assert [line.split("|")[3].strip() for line in lines] == [
        "sparse, 2 %",
        "small and dense",
        "sparse, 1 %",
        "small and dense",
    ]
    assert all("50.0%" in line for line in lines)


def test_a_share_is_the_geometric_mean_over_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from policy_distillation_tables import share

    teachers = {"a": [10.0, 10.0], "b": [2.0, 2.0]}
    value, low, high = share({"a": [[20.0, 20.0]], "b": [[1.0, 1.0], [1.0, 1.0]]}, teachers)
    assert value == pytest.approx(1) and low == pytest.approx(1) and high == pytest.approx(1)
    value, low, high = share({"a": [[5.0, 15.0, 8.0], [4.0, 9.0, 7.0]]}, teachers)
    assert value == pytest.approx(0.8) and low < 0.5 and high > 1.3  # two seeds say little
    value, low, high = share({"a": [[5.0, 15.0, 8.0, 4.0, 9.0, 7.0]]}, teachers)
    assert value == pytest.approx(0.8) and 0.4 < low < value < high < 1.6


def test_a_verdict_needs_games_and_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import policy_distillation_tables as tables

    def rows(loss: str, seeds: int) -> list[dict[str, object]]:
        key = {"kind": "single", "loss": loss, "size": 7}
        games = itertools.product("abc", range(seeds))
        score = {"kl": 9.0, "nll": 3.0, "mse": 3.0}[loss]
        return [
            {**key, "game": game, "seed": seed, "returns": {game: [score, score + 1]}}
            for game, seed in games
        ]

    found = {"rows": [*rows("kl", 2), *rows("nll", 2), *rows("mse", 1)]}
    results = tmp_path / "rows.json"
    write_json(results, found | {"teachers": {game: [8.0, 9.0] for game in "abc"}})
    monkeypatch.setattr(tables, "RESULTS", results)
    write_json(tmp_path / "none.json", {"rows": [], "teachers": {}})
    for other in ("JOINT", "FORMER"):
        monkeypatch.setattr(tables, other, tmp_path / "none.json")
    verdicts = {line.split("|")[1].strip(): line for line in tables.policy_distillation_marks()}
    assert "| met |" in verdicts["KL students of 7 % of the weights: 95% of their teachers"]
    assert "| reproduced |" in verdicts["KL over NLL, 7 %"]
    assert "3 games of 5, seeds: 2 |" in verdicts["KL over NLL, 7 %"]
    assert "| open: fewer than 3 games or 2 seeds |" in verdicts["KL over MSE, 7 %"]


def test_students_follow_a_teacher_that_still_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import online_distillation

    config = online_distillation.OnlineConfig(
        frames=2048,
        evaluate_every=2048,
        size=4,
        seeds=(0,),
        transitions=150,
        turns_kept=1,
        updates=2,
        episodes=1,
        runs=tmp_path,
        out=tmp_path / "online.json",
    )
    online_distillation.main(config)
    found = read_json(config.out)
    assert found["teacher"]["frames"] == [2048]
    (row,) = found["students"]
    assert row["seed"] == 0 and len(row["returns"]) == len(found["teacher"]["best"]) == 1
    scores = ((1, "2.5"), (2, "1.0"), (3, "2.5"), (4, "3.0"))
    rows = [{"steps": str(steps), "return_mean": score} for steps, score in scores]
    turns = list(online_distillation.turns_of(rows, tmp_path))
    assert [turn.best.stem for turn in turns] == ["1", "1", "1", "4"]
    assert [turn.now.stem for turn in turns] == ["1", "2", "3", "4"]
    with pytest.raises(UserError, match="updates is 3, but .* has students with 2"):
        online_distillation.main(replace(config, updates=3))


def test_games_learnt_jointly_share_all_but_their_heads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import joint_learning

    config = joint_learning.JointConfig(
        games=("breakout", "space_invaders"),
        frames=4096,
        evaluations=2,
        selection_episodes=1,
        episodes=1,
        runs=tmp_path / "runs",
        out=tmp_path / "joint.json",
    )
    save = joint_learning.Keeper.save

    def save_and_stop(keeper: joint_learning.Keeper) -> None:
        save(keeper)
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(joint_learning.Keeper, "save", save_and_stop)
        joint_learning.main(config)
    (checkpoint,) = config.runs.iterdir()
    first = torch.load(checkpoint, weights_only=True)
    joint_learning.main(config)
    (row,) = read_json(config.out)["rows"]
    assert row["curve"][0] == first["curve"][0]
    assert [point["frames"] for point in row["curve"]] == [2048, 4096]
    joint_learning.main(replace(config, episodes=2))
    again = read_json(config.out)["rows"][1]
    assert again["curve"] == row["curve"]
    assert all(returns[:1] == row["returns"][game] for game, returns in again["returns"].items())
    assert list(row["returns"]) == ["breakout", "space_invaders"]
    games = joint_learning.games_of(config.games)
    assert games.shape == (10, 10, 6) and games.choices == 4
    model = joint_learning.learner(config, games, seed=0)
    seen = torch.rand(5, 400).round().numpy()
    first = torch.as_tensor(games.seen(seen, 0))
    second = first.clone()
    second[:, -2:] = first[:, -2:].flip(1)
    trunk = model.policy.features_extractor
    behind, as_other = trunk(first), trunk(second)
    width = joint_learning.HIDDEN
    assert behind[:, :width].any() and not behind[:, width:].any()
    assert torch.equal(behind[:, :width], as_other[:, width:])
    act = joint_learning.acting(model, games, 0)
    assert set(act(seen).ravel()) <= {0.0, 1.0, 2.0}
