"""The benchmarks in grid worlds and with Gaussian students run whole, at a tiny size."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json
from sparsectl.training.trajectory.methods import ALL

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

import gaussian_students as gaussian  # noqa: E402
from distillation_tables import sided  # noqa: E402
from grid_world_experiments import EXPERIMENTS, prepared  # noqa: E402
from grid_world_summary import shares, summary, trajectories_to  # noqa: E402
from grid_worlds import GridWorldsConfig, main  # noqa: E402


def test_worlds_go_on_where_they_were_stopped(tmp_path: Path) -> None:
    results, out = tmp_path / "results.json", tmp_path / "worlds"

    def run(number: int, *names: str, tune: bool = False) -> None:
        main(GridWorldsConfig(names, number, 5, 1, out, results, tune, write=True))

    with pytest.raises(UserError, match="methods has no step sizes yet"):
        run(1, "thousand")
    with pytest.raises(UserError, match="no experiment a thousand"):
        run(1, "a thousand")
    run(1, "methods", tune=True)
    run(2, "thousand")
    file = out / "thousand.worlds.jsonl"
    first = file.read_text().splitlines()
    assert len(first) == 3
    file.write_text("\n".join([*first[:2], first[2][:100]]))  # the process died in the midst of it
    run(3, "thousand")
    second = file.read_text().splitlines()
    assert second[:2] == first[:2] and len(second) == 4
    keys = ("teacher", "even", "returns")
    again, before = json.loads(second[2]), json.loads(first[2])
    assert [again[key] for key in keys] == [before[key] for key in keys]
    found = read_json(results)["experiments"]["thousand"]
    assert found["worlds"] == 3 and found["provenance"]["command"]
    for row in found["rows"].values():
        assert row["low"][-1] <= row["share"][-1] <= row["high"][-1]
        assert row["share"][0] == pytest.approx(0, abs=1e-12)


def test_every_experiment_runs_and_says_what_it_compares(tmp_path: Path) -> None:
    assert {method for each in EXPERIMENTS.values() for method in each.methods} <= set(ALL)
    results, out = tmp_path / "results.json", tmp_path / "worlds"
    # The rows whose worlds or updates differ in kind; the others differ in numbers alone.
    names = ("control", "without end", "actions 32")
    tuned = [name for name in names if EXPERIMENTS[name].tuning]
    main(GridWorldsConfig(tuple(tuned), 1, 3, 1, out, results, tune=True))
    main(GridWorldsConfig(names, 2, 3, 1, out, results, write=True))
    found = read_json(results)["experiments"]
    assert set(found) == set(names)
    assert [ratio["rate"] for ratio in found["control"]["ratios"]] == [0.001, 0.01, 0.1, 1.0]


def test_a_teacher_that_learnt_to_lose_is_worse_than_chance() -> None:
    world, teacher, value = prepared(EXPERIMENTS["adverse corridor"], 0)
    assert value[world.start] < 0 and teacher[world.start].argmax() == 3  # left, to the pit


def test_shares_and_trajectories_are_as_they_say() -> None:
    marks = (0, 1, 10, 100)
    worlds = [
        {"teacher": 5.0, "even": 1.0, "returns": {"m": [[1.0, 2.0, 5.0, 5.0]]}},
        {"teacher": -3.0, "even": 1.0, "returns": {"m": [[1.0, -1.0, -3.0, float("nan")]]}},
    ]
    found = shares(worlds, "m")
    np.testing.assert_allclose(found[0], [0, 0.25, 1, 1])
    np.testing.assert_allclose(found[1], [0, -0.5, -1, 0])  # overflowed: as random moves
    at = trajectories_to(found, marks, 0.5)
    assert at[0] == pytest.approx(np.log(10) / 3)  # a third of the way from 1 to 10
    assert at[1] == np.inf
    with pytest.raises(KeyError):
        summary(worlds, EXPERIMENTS["thousand"], {}, marks)


def test_a_verdict_needs_the_whole_interval_on_one_side() -> None:
    assert sided(0.1, 0.2, "yes", "no") == "yes"
    assert sided(-0.2, -0.1, "yes", "no") == "no"
    assert sided(-0.1, 0.1, "yes", "no").startswith("open")


def batch_of(student: gaussian.Student, random: np.random.Generator) -> dict[str, torch.Tensor]:
    shape = (gaussian.STEPS, gaussian.ENVIRONMENTS)
    column = lambda *sizes: torch.as_tensor(random.normal(size=sizes), dtype=torch.float32)  # noqa: E731
    return {
        "observations": column(*shape, 3),
        "next": column(*shape, 3),
        "actions": column(*shape, 2),
        "teacher": column(*shape, 2),
        "rewards": column(*shape),
        "ended": (column(*shape) > 1).float(),
    }


def test_gaussian_losses_are_cross_entropies() -> None:
    torch.manual_seed(0)
    student = gaussian.Student(np.zeros(3, np.float32), np.ones(3, np.float32), 2)
    batch = batch_of(student, np.random.default_rng(0))
    own = torch.distributions.Normal(student(batch["observations"]), student.log_deviation.exp())
    teacher = torch.distributions.Normal(batch["teacher"], gaussian.DEVIATION)
    divergence = torch.distributions.kl_divergence
    constant = np.log(2 * np.pi)  # of two actions, which the losses leave out
    for name, wanted in (
        ("on-policy distill", divergence(teacher, own) + teacher.entropy()),
        ("expected entropy regularised", divergence(own, teacher) + own.entropy()),
    ):
        method = gaussian.Method(1, 0, ALL[name].loss, gaussian.Reward.NONE)
        found = gaussian.objective(method, student, student, batch)
        assert found.item() == pytest.approx(float(wanted.sum(-1).mean()) - constant, rel=1e-4)


def test_gaussian_rewards_push_what_was_done() -> None:
    torch.manual_seed(0)
    student = gaussian.Student(np.zeros(3, np.float32), np.ones(3, np.float32), 2)
    batch = batch_of(student, np.random.default_rng(1))
    gaussian.objective(ALL["entropy regularised"], student, student, batch).backward()
    log_teacher = gaussian.log_density(
        batch["actions"], batch["teacher"], torch.tensor(float(np.log(gaussian.DEVIATION)))
    )
    sums = torch.zeros_like(log_teacher)
    for step in range(gaussian.STEPS):  # by the definition: what follows until the episode's end
        alive = torch.ones(gaussian.ENVIRONMENTS)
        for later in range(step, gaussian.STEPS):
            sums[step] += alive * log_teacher[later]
            alive = alive * (1 - batch["ended"][later])
    others = torch.stack(
        [sums[:, [j for j in range(4) if j != number]].mean(1) for number in range(4)], dim=1
    )
    found = [parameter.grad.clone() for parameter in student.parameters()]
    student.zero_grad()
    density = torch.distributions.Normal(
        student(batch["observations"]), student.log_deviation.exp()
    ).log_prob(batch["actions"])
    (-(sums - others) * density.sum(-1)).mean().backward()
    for gradient, parameter in zip(found, student.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-3, atol=1e-3)


def test_a_gaussian_student_learns_from_a_regulator(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    config = gaussian.GaussianStudentsConfig(
        (gaussian.DOUBLE_PENDULUM,),
        ("imitation and DAgger", "N-distill"),
        seeds=1,
        rates=(0.01,),
        updates=3,
        episodes=1,
        out=out,
        write=True,
    )
    gaussian.main(config)
    rows = read_json(out)[gaussian.DOUBLE_PENDULUM]
    assert set(rows) == set(config.methods)
    row = rows["imitation and DAgger"]
    assert row["teacher_return"] > 9000  # the regulator stands for all of its 1,000 steps
    assert row["transitions"] == 600 and len(row["seeds"]) == 1
