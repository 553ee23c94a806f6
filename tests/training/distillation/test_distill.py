"""Distillation, whole: it reaches a sensible figure, resumes bit for bit, says what is wrong."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from sparsectl.common.errors import UserError
from sparsectl.common.nested import replaced
from sparsectl.policy.load import load_acting
from sparsectl.policy.student_file import read_student_file
from sparsectl.training.bpd.bpd import BayesianPolicyDistillation
from sparsectl.training.config import DistillConfig
from sparsectl.training.data.files import read_dataset, write_dataset
from sparsectl.training.distillation import run as distillation_run
from sparsectl.training.distillation.distill import distill
from sparsectl.training.distillation.targets import score
from sparsectl.training.nn.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from sparsectl.training.rollouts.episodes import Rollouts
from sparsectl.training.rollouts.seeds import Series
from sparsectl.training.settings import BpdSettings
from tests.training.balancer import SHORT


def quick(dataset: Path, out: Path, **changes: Any) -> DistillConfig:
    settings: dict[str, Any] = {
        "preset": "quick",
        "hidden": (24, 16),
        "steps": 600,
        "batch_size": 64,
        "learning_rate": 5e-3,
        "kl_multiplier": 1.0,
        "finetune.steps": 250,
        "finetune.newton_rows": 500,
        "workers": 1,
        "episodes": 3,
        "evidence.episodes": 2,
    }
    return replaced(DistillConfig(dataset, out), settings | changes)


def brief(dataset: Path, out: Path, **changes: Any) -> DistillConfig:
    """Just enough steps to see that something was learnt."""
    return quick(dataset, out, steps=60, kl_multiplier=0.01, **{"finetune.steps": 50}, **changes)


def test_a_short_distillation_balances_with_few_weights(
    balancer: Path, balancing: Path, tmp_path: Path
) -> None:
    config = quick(
        balancing,
        tmp_path,
        env=SHORT,
        teacher=balancer,
        **{
            "dagger.rounds": 1,
            "dagger.transitions": 1000,
            "dagger.steps": 150,
            "finetune.rounds": 0,
        },
    )
    result = distill(config)
    assert [step["name"] for step in result["steps"]] == ["bpd", "dagger-1", "finetune"]
    assert result["steps"][-1]["difference"] >= -0.05
    assert {step["episodes"] for step in result["steps"]} == {3}
    dense = 4 * 24 + 24 * 16 + 16
    assert 4 <= result["kept_weights"] < dense / 4
    assert (result["teacher_weights"], result["teacher_parameters"]) == (4, 5)
    assert result["kept_fraction"] == result["kept_weights"] / 4
    assert result["kept_parameters_fraction"] == result["kept_parameters"] / 5
    assert result["target_met"] is None  # no target was given
    student = read_student_file(tmp_path / "student.safetensors")
    assert student.kept_weights == result["kept_weights"]
    assert student.metadata["environment"] == SHORT
    assert student.metadata["steps"] == result["steps"]
    with Rollouts(SHORT, 1) as rollouts:
        policy = load_acting(Path(result["student"]))
        returns = rollouts.returns(policy, (Series.SELECTION,), 3)
    assert float(returns.mean()) == pytest.approx(result["steps"][-1]["return_mean"])
    assert list((tmp_path / "tensorboard").glob("events.*"))
    again = distill(config)  # everything is done: it only says so
    assert again["steps"] == result["steps"]


def test_offline_is_the_default(balancing: Path, tmp_path: Path) -> None:
    result = distill(brief(balancing, tmp_path))
    assert [step["name"] for step in result["steps"]] == ["bpd", "finetune"]
    assert "return_mean" not in result["steps"][0]
    errors = [step["imitation_error"] for step in result["steps"]]
    assert errors[1] < errors[0]


SEARCH = {
    "search.generations": 4,
    "search.pairs": 1,
    "search.episodes": 2,
    "search.pool": 4,
}


def resumable(dataset: Path, teacher: Path, out: Path, below: int = 0) -> DistillConfig:
    return quick(
        dataset,
        out,
        env=SHORT,
        teacher=teacher,
        steps=100,
        **{
            "dagger.rounds": 1,
            "dagger.transitions": 200,
            "dagger.steps": 50,
            "finetune.steps": 50,
            "finetune.rounds": 1,
            "finetune.prune_rounds": 2,
        },
        keep=50,
        **{"finetune.newton_below": below, "finetune.newton_steps": 12},
        **(SEARCH if below else {}),
        episodes=1,
        **{"evidence.episodes": 1},
        final_episodes=1,
        checkpoint_seconds=0.0,
    )


@contextmanager
def at_checkpoint(stage: int, act: Callable[[], None]) -> Iterator[None]:
    """Call `act` between the bytes and the name of a stage's third checkpoint."""
    met: list[bool] = []

    def write(path: Path, state: Checkpoint) -> None:
        met.append(state.stage >= stage)
        with ExitStack() as stack:
            if sum(met) == 3:
                named = Path.replace

                def replaced(self: Path, target: Path) -> Path:
                    act()
                    return named(self, target)

                stack.enter_context(patch.object(Path, "replace", replaced))
            write_checkpoint(path, state)

    with patch.object(distillation_run, "write_checkpoint", write):
        yield


def killed_at(stage: int, config: DistillConfig) -> None:
    with at_checkpoint(stage, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        distill(config)


def kill_at(stage: int, config: DistillConfig) -> None:
    """Distil in a process of its own, until it is killed."""
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=killed_at, args=(stage, config))
    root = str(Path(__file__).parents[3])
    with patch.object(sys, "path", [*sys.path, root]):  # the child's, which has to find this file
        child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL


def assert_same_student(one: Path, two: Path) -> None:
    left, right = load_file(one / "student.safetensors"), load_file(two / "student.safetensors")
    assert left.keys() == right.keys()
    for name, array in left.items():
        np.testing.assert_array_equal(array, right[name], err_msg=name)
    final = [read_checkpoint(folder / "checkpoint.safetensors") for folder in (one, two)]
    for name, tensor in final[0].tensors.items():
        assert torch.equal(tensor, final[1].tensors[name]), name
    assert final[0].report == final[1].report


@pytest.mark.parametrize("below", [0, 400])
def test_resuming_after_sigkill_is_bit_for_bit(
    below: int, trainers: None, balancer: Path, balancing: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    result = distill(resumable(balancing, balancer, whole, below))
    names = [step["name"] for step in result["steps"]]
    assert (names[-1] == "search") == bool(below)
    assert (result["steps"][names.index("finetune")]["steps"] == 12) == bool(below)
    finalists = [step for step in result["steps"] if "final_return_mean" in step]
    finals = {step["name"]: score(step, "final_") for step in finalists}
    assert 2 <= len(finals) <= 3 + bool(below)
    assert finals[result["chosen"]] == max(finals.values())
    for stage in (0, 4, *([names.index("search")] if below else [])):
        kill_at(stage, resumable(balancing, balancer, killed, below))
        assert read_checkpoint(killed / "checkpoint.safetensors").stage >= stage
        assert not (killed / "student.safetensors").exists()
    distill(resumable(balancing, balancer, killed, below))
    assert_same_student(whole, killed)


@pytest.mark.parametrize("changes", [{"method": "small", "keep": 4}, {"method": "gradual"}, {}])
def test_a_student_without_hidden_layers_is_one_matrix_that_balances(
    changes: dict[str, Any], balancer: Path, balancing: Path, tmp_path: Path
) -> None:
    rollouts = {"env": SHORT, "teacher": balancer, "dagger.rounds": 0}
    result = distill(quick(balancing, tmp_path, **changes, **rollouts, hidden=(), steps=200))
    (layer,) = read_student_file(tmp_path / "student.safetensors").layers
    assert layer.mean.shape == (1, 4)
    assert result["steps"][-1]["difference"] >= -0.05


def test_sigint_leaves_a_checkpoint_and_a_line(
    balancer: Path, balancing: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with (
        at_checkpoint(0, lambda: signal.raise_signal(signal.SIGINT)),
        pytest.raises(UserError, match="the same command resumes from there"),
    ):
        distill(resumable(balancing, balancer, out))
    assert read_checkpoint(out / "checkpoint.safetensors").stage == 0
    assert not (out / "student.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dagger.rounds": 2}, "dagger.rounds is 2, but env is None and .* need both"),
        ({"finetune.rounds": 1}, "finetune.rounds is 1, but env is None and"),
        ({"steps": 0}, "steps is 0"),
        ({"kl_multiplier": -1.0}, "kl_multiplier is -1.0"),
        ({"batch_size": 5000}, "the dataset has 4000 transitions, fewer than a batch of 5000"),
        ({"device": "gpu"}, "device is 'gpu'"),
        ({"hidden": (0,)}, "narrowest hidden layer is 0"),
        ({"env": "Pendulum-v1", "steps": 10}, "the policy takes 4 observations"),
        ({"learning_rate": 1e12}, "diverged: loss .* is (nan|inf) at step"),
        ({"kl_multiplier": 1e9, "steps": 200}, "lost every weight by step 1.. .*smaller one"),
    ],
)
def test_mistakes_are_one_line(
    changes: dict[str, Any], message: str, balancing: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        distill(quick(balancing, tmp_path, **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "student.safetensors").exists()


def test_another_run_in_the_folder_is_not_overwritten(balancing: Path, tmp_path: Path) -> None:
    config = brief(balancing, tmp_path)
    distill(config)
    changed = replace(config, seed=1)
    with pytest.raises(UserError, match="holds a run with a different seed"):
        distill(changed)
    distill(replace(changed, restart=True))
    (tmp_path / "checkpoint.safetensors").write_bytes(b"half")
    with pytest.raises(UserError, match="not a complete checkpoint"):
        distill(changed)


def test_the_value_term_can_be_left_out(balancing: Path) -> None:
    dataset = read_dataset(balancing)
    settings = BpdSettings(steps=10, batch_size=32, value_weight=0.0)
    cpu = torch.device("cpu")
    trainer = BayesianPolicyDistillation(dataset, dataset.signals, settings, [0], cpu)
    before = trainer.critics.values.clone()
    student = trainer.student_adam.values.clone()
    trainer.update()
    assert torch.equal(before, trainer.critics.values)
    assert not torch.equal(student, trainer.student_adam.values)
    assert "critics" not in trainer.losses


def test_critics_learn_the_value_of_a_known_process(balancing: Path) -> None:
    """Reward 1 and the end: Q is 1. Reward 1 and every step leads to another: Q grows beyond it."""
    dataset = read_dataset(balancing)
    count = len(dataset)
    values = []
    for ends in (True, False):
        known = replace(
            dataset,
            rewards=np.ones(count, np.float32),
            terminations=np.full(count, ends),
            truncations=np.zeros(count, bool),
        )
        settings = BpdSettings(steps=10_000, batch_size=64, hidden=(8,), critic_learning_rate=2e-3)
        cpu = torch.device("cpu")
        trainer = BayesianPolicyDistillation(known, known.signals, settings, [0], cpu)
        for _ in range(300):
            trainer.update()
        batch = trainer.batches.sample([torch.Generator().manual_seed(0)])
        values.append(trainer.critics.first.value(batch.state_action).mean().item())
    assert values[0] == pytest.approx(1, abs=0.1)
    assert values[1] > 1.3


def test_same_seed_same_student(balancing: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        distill(brief(balancing, tmp_path / name, seed=seed))
    assert_same_student(tmp_path / "a", tmp_path / "b")
    left = load_file(tmp_path / "a" / "student.safetensors")
    right = load_file(tmp_path / "c" / "student.safetensors")
    assert not np.array_equal(left["layers.0.mean"], right["layers.0.mean"])


def test_a_dataset_without_a_teacher_has_no_fraction(balancing: Path, tmp_path: Path) -> None:
    dataset = read_dataset(balancing)
    orphan = replace(dataset, metadata=dataset.metadata | {"teacher": None})
    write_dataset(tmp_path / "d.npz", orphan)
    result = distill(brief(tmp_path / "d.npz", tmp_path / "run"))
    assert result["teacher_parameters"] is None and result["kept_fraction"] is None
