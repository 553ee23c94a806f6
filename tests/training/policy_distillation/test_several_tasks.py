"""One student of several teachers: a trunk, a head a task, and the same controller on every way."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from sparsectl.command_line.config import ParetoConfig
from sparsectl.commands.bench import bench
from sparsectl.commands.pareto import pareto
from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.firmware_host.config import BenchConfig
from sparsectl.policy.choices import Choices
from sparsectl.policy.load import LoadOptions, load, load_acting
from sparsectl.policy.signals_json import image_of
from sparsectl.training.config import DistillConfig, EvaluateConfig
from sparsectl.training.data.batches import Batches
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.data.files import read_dataset, write_dataset
from sparsectl.training.data.tasks import joined_tasks
from sparsectl.training.distillation.distill import distill
from sparsectl.training.environments.environments import make_environment
from sparsectl.training.environments.signals import choice_signal, environment_signals
from sparsectl.training.policy_distillation.heads import HeadsTerm
from sparsectl.training.policy_distillation.losses import LOSSES
from sparsectl.training.policy_distillation.term import ChoiceTerm
from sparsectl.training.rollouts.comparison import compare
from sparsectl.training.rollouts.evaluate import evaluate
from sparsectl.training.settings import FinetuneOptions
from tests.tools import need

CPU = torch.device("cpu")


def known(env: str, rows: int, seed: int, choices: Choices | None = None) -> Dataset:
    """Transitions as a linear teacher of an environment would label them, without its episodes."""
    probe = make_environment(env)
    signals, rng = environment_signals(probe), np.random.default_rng(seed)
    probe.close()
    if choices is not None:
        signals = {**signals, "action": [choice_signal(choices)]}
    size, count = len(signals["observation"]), int(signals["action"][0]["high"]) + 1
    count -= int(signals["action"][0]["low"])
    seen = rng.normal(size=(rows, size)).astype(np.float32)
    if image_of(signals) is not None:
        seen = (seen > 1).astype(np.float32)
    values = (seen @ rng.normal(size=(size, count))).astype(np.float32)
    best = values.argmax(axis=1)[:, None].astype(np.float32) + signals["action"][0]["low"]
    ends = np.zeros(rows, np.bool_)
    metadata = {
        "signals": signals,
        "environment": env,
        "values": "q_values",
        "teacher": {"parameters": 500, "weights": 480, "sha256": str(seed)},
    }
    rewards = np.ones(rows, np.float32)
    return Dataset(seen, best, best, rewards, seen, ends, ends, metadata, values)


@pytest.fixture(scope="module")
def poles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder = tmp_path_factory.mktemp("poles")
    tasks = (known("CartPole-v1", 700, 1), known("CartPole-v1", 500, 2, Choices(-1, 3)))
    for number, dataset in enumerate(tasks):
        write_dataset(folder / f"{number}.npz", dataset)
    return folder / "0.npz", folder / "1.npz"


@pytest.fixture(scope="module")
def games(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder = tmp_path_factory.mktemp("games")
    names = ("Breakout", "SpaceInvaders", "Freeway")
    for seed, name in enumerate(names):
        write_dataset(folder / f"{name}.npz", known(f"MinAtar/{name}-v1", 400, seed))
    return tuple(folder / f"{name}.npz" for name in names)


def asked(datasets: tuple[Path, ...], out: Path, **settings: Any) -> DistillConfig:
    settings = {"method": "policy-distillation", "hidden": (24,), "steps": 500} | settings
    finetune = FinetuneOptions(steps=200, prune_rounds=1)
    return DistillConfig(
        datasets, out, "quick", batch_size=64, finetune=finetune, workers=1, **settings
    )


@pytest.mark.parametrize("settings", [{}, {"keep": 90}, {"method": "bpd", "kl_multiplier": 0.01}])
def test_a_student_of_vectors_chooses_in_each_task(
    settings: dict[str, Any], poles: tuple[Path, ...], tmp_path: Path
) -> None:
    result = distill(asked(poles, tmp_path / "run", **settings))
    path, both = Path(result["student"]), load(Path(result["student"]))
    assert result["teacher_weights"] == 960 and result["kept_weights"] <= settings.get("keep", 999)
    for number, dataset in enumerate(read_dataset(each) for each in poles):
        one, policy = (
            load(path, LoadOptions(task=number)),
            load_acting(path, LoadOptions(task=number)),
        )
        rows = dataset.observations
        np.testing.assert_array_equal(both.forward(rows)[:, [number]], one.forward(rows))
        assert (policy.act(rows) == one.forward(rows)).mean() > 0.98  # near ties, other sums
        wrong = (policy.act(rows) != dataset.teacher_actions).mean()
        assert wrong < 0.25 and policy.environment == one.environment == "CartPole-v1"
    assert result["steps"][-1]["imitation_error"] < 0.25


def test_a_student_of_images_becomes_c_with_all_heads_and_with_one(
    games: tuple[Path, ...], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"channels": 3, "hidden": (8,), "steps": 40}
    path = Path(distill(asked(games, tmp_path / "run", **settings))["student"])
    both, rng = load(path), np.random.default_rng(0)
    assert len(both.action) == 3 and both.layers[-1].activations == ("argmax",) * 3
    assert both.layers[0].convolution is not None and both.layers[0].convolution.channels == 7
    exported = export_policy(ExportConfig(path, tmp_path / "policy", observations=300))
    assert exported["bit_exact"]
    padded = np.zeros((200, 10, 10, 7), np.float32)
    padded[..., :6] = rng.random((200, 10, 10, 6)) > 0.8
    all_heads = both.forward(padded.reshape(200, -1))
    by_onnx = load_acting(tmp_path / "policy").act(padded.reshape(200, -1))
    assert (by_onnx == all_heads).mean() > 0.98  # near ties, other sums
    own = padded[..., :6].reshape(200, -1)  # what SpaceInvaders has of it
    one = export_policy(ExportConfig(path, tmp_path / "one", task=1, observations=300))
    assert one["bit_exact"] and load_acting(tmp_path / "one").environment == games_env(1)
    np.testing.assert_array_equal(load(path, LoadOptions(task=1)).forward(own), all_heads[:, [1]])
    for policy in (load_acting(path, LoadOptions(task=1)), load_acting(tmp_path / "one")):
        assert (policy.act(own) == all_heads[:, [1]]).mean() > 0.98


def test_bench_measures_all_heads_or_one(poles: tuple[Path, ...], tmp_path: Path) -> None:
    need("gcc")
    path = Path(distill(asked(poles, tmp_path / "run", steps=20))["student"])
    asks = BenchConfig(path, "host", runs=3, encoding="dense")
    every, one = bench(asks), bench(replace(asks, task=1))
    assert every["tasks"] == 2 and "tasks" not in one and every["bit_exact"] and one["bit_exact"]
    # The head that is left out had a weight for each of 24 neurons and each of two choices.
    assert every["kept_weights"] - one["kept_weights"] == 48
    assert every["flash"]["tables"] > one["flash"]["tables"]
    export_policy(ExportConfig(path, tmp_path / "policy", observations=100))
    with pytest.raises(UserError, match="--task is 0, but .* is exported already"):
        bench(BenchConfig(tmp_path / "policy", "host", task=0))
    with pytest.raises(UserError, match="task is 2"):
        bench(replace(asks, task=2))


def games_env(number: int) -> str:
    return f"MinAtar/{('Breakout', 'SpaceInvaders', 'Freeway')[number]}-v1"


def test_each_task_is_evaluated_by_its_number_or_its_environment(
    games: tuple[Path, ...], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"channels": 1, "hidden": (4,), "steps": 4}
    path = Path(distill(asked(games, tmp_path / "run", **settings))["student"])
    by_number = evaluate(EvaluateConfig(path, task=0, episodes=2))
    by_name = evaluate(EvaluateConfig(path, env=games_env(0), episodes=2))
    assert by_number["env"] == games_env(0) and by_number["returns"] == by_name["returns"]
    with pytest.raises(UserError, match=r"has the tasks 0 \(MinAtar/Breakout-v1\), .* give --task"):
        evaluate(EvaluateConfig(path, episodes=2))
    with pytest.raises(UserError, match=r"\), none of them in CartPole-v1; give --task"):
        evaluate(EvaluateConfig(path, env="CartPole-v1", episodes=2))
    with pytest.raises(UserError, match=r"task is 3, but .* has the tasks 0 "):
        evaluate(EvaluateConfig(path, task=3, episodes=2))
    assert (
        by_number["returns"]
        == compare(EvaluateConfig(task=0, episodes=2), (path, path))["returns"]["b"]
    )
    with pytest.raises(UserError, match=r"has the tasks 0 .*; give --task"):
        compare(EvaluateConfig(episodes=2), (path, path))
    (point,) = pareto(ParetoConfig((path,), task=0, episodes=2, out=tmp_path / "front"))["points"]
    named = ParetoConfig((path,), env=games_env(0), episodes=2, out=tmp_path / "named")
    assert pareto(named)["points"] == [point] and point["return_mean"] >= 0
    with pytest.raises(UserError, match=r"has the tasks 0 .*; give --task"):
        pareto(ParetoConfig((path,), episodes=2, out=tmp_path / "front"))
    export_policy(ExportConfig(path, tmp_path / "policy", observations=100))
    with pytest.raises(UserError, match="task is 1, but neither .* is a student of several tasks"):
        compare(EvaluateConfig(task=1, episodes=2), (tmp_path / "policy", tmp_path / "policy"))
    with pytest.raises(UserError, match="is for 3 tasks, but MinAtar/Breakout-v1 is one; give the"):
        evaluate(EvaluateConfig(tmp_path / "policy", env=games_env(0), episodes=2))
    with pytest.raises(UserError, match="it is for students of several tasks"):
        evaluate(EvaluateConfig(tmp_path / "policy", task=1, episodes=2))


def test_calibration_on_one_of_the_tasks_is_warned_of(
    poles: tuple[Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student = Path(distill(asked(poles, tmp_path / "run", steps=4))["student"])
    asks = ExportConfig(student, tmp_path / "policy", calibration=poles[1], encoding="dense-int16")
    told = "1.npz was recorded in CartPole-v1 alone, but the policy is for several tasks"
    export_policy(asks)
    assert told in capsys.readouterr().err
    export_policy(replace(asks, out=tmp_path / "one", task=1))
    assert told not in capsys.readouterr().err


def test_memories_are_taken_in_turn(games: tuple[Path, ...]) -> None:
    joined = joined_tasks([read_dataset(path) for path in games], games)
    batches = Batches(joined, joined.signals, 32, CPU)
    random = torch.Generator().manual_seed(0)
    for turn in range(6):
        labels = batches.sample([random], turn).labels[0]
        heads = [labels[:, :3], labels[:, 3:7], labels[:, 7:]]
        assert [bool(head.isfinite().all()) for head in heads] == [turn % 3 == k for k in range(3)]


def test_tasks_are_joined_in_little_more_memory_than_they_take() -> None:
    names = ("Breakout", "SpaceInvaders", "Freeway")
    paths = tuple(Path(name) for name in names)
    datasets = [known(f"MinAtar/{name}-v1", 3_000, seed) for seed, name in enumerate(names)]
    tracemalloc.start()
    try:
        joined = joined_tasks(datasets, paths)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not datasets
    size = sum(getattr(joined, name).nbytes for name in joined.arrays)
    assert size < most < 1.2 * size


def test_a_head_learns_from_its_own_task_alone() -> None:
    rng = np.random.default_rng(5)
    outputs = torch.tensor(rng.normal(size=(1, 4, 5)), requires_grad=True)
    values = torch.tensor(rng.normal(size=(1, 4, 5)))
    values[0, :2, 2:], values[0, 2:, :2] = torch.nan, torch.nan
    found = HeadsTerm((ChoiceTerm("kl", 0.5), ChoiceTerm("mse", 1.0)), (2, 3))(outputs, values)
    first = LOSSES["kl"](outputs[:, :2, :2], values[:, :2, :2], 0.5)
    second = LOSSES["mse"](outputs[:, 2:, 2:], values[:, 2:, 2:], 1.0)
    torch.testing.assert_close(found.value, torch.cat([first.value, second.value], dim=1))
    (gradient,) = torch.autograd.grad(found.value.sum(), outputs)
    torch.testing.assert_close(found.gradient, gradient)
    assert not found.gradient[0, :2, 2:].any() and not found.gradient[0, 2:, :2].any()


@pytest.mark.parametrize(
    ("others", "settings", "message"),
    [
        (("Acrobot-v1",), {}, "has observations of 6 numbers, .* of 4 numbers; one trunk takes"),
        (("MinAtar/Breakout-v1",), {}, "of 10 x 10 pixels, .* of 4 numbers; one trunk takes"),
        ((), {"env": "CartPole-v1"}, "env is CartPole-v1, which is for one task, but 2 datasets"),
        ((), {"temperature": 0.0}, "temperature is 0; give a finite number over 0"),
        ((), {"loss": "huber"}, "loss is 'huber'; use one of"),
    ],
)
def test_mistakes_are_one_line(
    others: tuple[str, ...],
    settings: dict[str, Any],
    message: str,
    poles: tuple[Path, ...],
    tmp_path: Path,
) -> None:
    for name in others:
        write_dataset(tmp_path / "other.npz", known(name, 90, 3))
    datasets = (poles[0], tmp_path / "other.npz" if others else poles[1])
    with pytest.raises(UserError, match=message) as caught:
        distill(asked(datasets, tmp_path / "run", **settings))
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_a_dataset_is_one_task(poles: tuple[Path, ...], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is given twice, and each dataset is a task"):
        distill(asked((poles[0], poles[1], poles[0]), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_real_numbers_have_no_head(
    balancing: Path, poles: tuple[Path, ...], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="has continuous actions, but a student of several"):
        distill(asked((poles[0], balancing), tmp_path / "run"))


def test_a_students_tasks_are_checked(poles: tuple[Path, ...], tmp_path: Path) -> None:
    path = Path(distill(asked(poles, tmp_path / "run", steps=2, hidden=(2,)))["student"])
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        metadata = json.loads(file.metadata()["sparsectl"])
    spoiled: list[Any] = [metadata["tasks"][:1], 3, [1, 2], metadata["tasks"][::-1], [{}, {}]]
    for tasks in spoiled:
        header = {"sparsectl": json.dumps({**metadata, "tasks": tasks})}
        save_file(load_file(path), tmp_path / "spoiled.safetensors", header)
        for read in (load, load_acting):
            with pytest.raises(UserError) as caught:
                read(tmp_path / "spoiled.safetensors")
            assert "\n" not in str(caught.value)
