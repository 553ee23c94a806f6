"""From a teacher that chooses to a sparse student's C: every loss, every method that is for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.export.table_bytes import table_bytes
from sparsectl.policy.load import load, load_acting
from sparsectl.training.config import CollectConfig, DistillConfig, EvaluateConfig
from sparsectl.training.data.files import read_dataset, write_dataset
from sparsectl.training.distillation.distill import distill
from sparsectl.training.policy_distillation.losses import LOSSES
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.rollouts.evaluate import evaluate
from sparsectl.training.rollouts.plausibility import warn_of_another_teacher
from sparsectl.training.settings import DaggerOptions, EvidenceOptions, FinetuneOptions
from tests.training.balancer import write_balancer as write_driver

ENV = "CartPole-v1"
BALANCES = np.float32([0.1, 0.3, 3.0, 1.0])
"""What the push goes by: cart, its speed, pole, its speed."""


def write_balancer(path: Path, output: str = "q_values") -> Path:
    """A linear policy that balances the cart-pole, its values as large as a DQN's."""
    weight = np.stack([-BALANCES, BALANCES])
    bias = np.full(2, 50, np.float32)
    constants = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")]
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["o", "w", "b"], [output], transB=1)],
        "balancer",
        [helper.make_tensor_value_info("o", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", 2])],
        constants,
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_balancer(tmp_path_factory.mktemp("teacher") / "balancer.onnx")


@pytest.fixture(scope="module")
def dataset(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dataset") / "cartpole.npz"
    collect(CollectConfig(teacher, ENV, path, 3_000, noise=0.4, noise_fraction=1.0, workers=1))
    return path


def asked(dataset: Path, out: Path, **settings: Any) -> DistillConfig:
    config = DistillConfig(dataset, out, "quick", steps=400, hidden=(16, 16), workers=1)
    return replace(config, finetune=FinetuneOptions(steps=200), **settings)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("policy-distillation", {}),
        ("policy-distillation", {"loss": "nll"}),
        ("policy-distillation", {"loss": "mse"}),
        ("bpd", {}),
        ("group", {"loss": "nll"}),
        ("neurons", {"keep": 60, "loss": "kl", "temperature": 0.5}),
        ("policy-distillation", {"keep": 30}),
        ("small", {"table_bytes": 300}),
    ],
)
def test_a_student_chooses_as_its_teacher(
    method: Any, settings: dict[str, Any], dataset: Path, teacher: Path, tmp_path: Path
) -> None:
    config = asked(dataset, tmp_path / "run", method=method, **settings)
    result = distill(config, table_bytes if "table_bytes" in settings else None)
    path = Path(result["student"])
    student, graph = load_acting(path), load(path)
    rows = read_dataset(dataset).observations
    np.testing.assert_array_equal(graph.forward(rows), student.act(rows))
    assert graph.layers[-1].activation == "argmax" and graph.action[0].unit == "index"
    wrong = (student.act(rows) != load_acting(teacher).act(rows)).mean()
    assert wrong < 0.12 and result["steps"][-1]["imitation_error"] < 0.12
    if "keep" in settings:
        assert result["kept_weights"] <= settings["keep"] and result["target_met"] == "met"
    if "table_bytes" in settings:
        assert table_bytes(path) <= settings["table_bytes"]
    if method == "bpd":
        assert result["kept_weights"] < 0.7 * (4 * 16 + 16 * 16 + 16 * 2)


def test_a_student_drives_and_becomes_c(dataset: Path, teacher: Path, tmp_path: Path) -> None:
    config = asked(
        dataset,
        tmp_path / "run",
        method="policy-distillation",
        env=ENV,
        teacher=teacher,
        keep=40,
        episodes=4,
        final_episodes=0,
    )
    config = replace(
        config,
        dagger=DaggerOptions(transitions=300, tries=1),
        finetune=FinetuneOptions(steps=200, rounds=1, prune_rounds=2),
        evidence=EvidenceOptions(episodes=4),
    )
    result = distill(config)
    assert result["kept_weights"] <= 40 and result["evidence"]["teacher_return_mean"] > 400
    assert result["evidence"]["return_mean"] > 150
    student = Path(result["student"])
    measured = evaluate(EvaluateConfig(student, episodes=4))
    assert measured["env"] == ENV and measured["return_mean"] > 150
    exported = export_policy(ExportConfig(student, tmp_path / "policy"))
    assert exported["bit_exact"] and exported["within_error"]
    again = load_acting(tmp_path / "policy")
    rows = read_dataset(dataset).observations
    np.testing.assert_array_equal(again.act(rows), load_acting(student).act(rows))
    assert again.choices is not None and again.choices.count == 2


def test_another_teacher_than_the_datasets_is_told(
    dataset: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = read_dataset(dataset)
    again = tmp_path / "again.onnx"  # another file of the same teacher
    model = onnx.load(teacher)
    model.producer_name = "again"
    onnx.save(model, again)
    for path in (teacher, again):
        warn_of_another_teacher(load_acting(path), known, path)
    assert not capsys.readouterr().err
    for constant in model.graph.initializer:
        other = -numpy_helper.to_array(constant)
        constant.CopyFrom(numpy_helper.from_array(other, constant.name))
    onnx.save(model, again)
    settings = {"method": "policy-distillation", "env": ENV, "teacher": again, "episodes": 2}
    distill(asked(dataset, tmp_path / "run", **settings))
    said = capsys.readouterr().err
    assert "again.onnx is not the teacher that labelled the dataset and chooses differently" in said


def test_another_teacher_of_real_numbers_is_told(
    balancing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = read_dataset(balancing)
    same = load_acting(write_driver(tmp_path / "same.safetensors"))
    known = replace(known, metadata={**known.metadata, "teacher": {"sha256": "of another file"}})
    warn_of_another_teacher(same, known, tmp_path / "same.safetensors")
    assert not capsys.readouterr().err
    turned = replace(known, teacher_actions=-known.teacher_actions)
    warn_of_another_teacher(same, turned, tmp_path / "same.safetensors")
    assert "differs from its labels by" in capsys.readouterr().err


def test_choices_alone_are_learnt_by_nll(dataset: Path, tmp_path: Path) -> None:
    known = read_dataset(dataset)
    metadata = {key: value for key, value in known.metadata.items() if key != "values"}
    bare = replace(known, teacher_values=None, metadata=metadata)
    write_dataset(tmp_path / "bare.npz", bare)
    config = asked(tmp_path / "bare.npz", tmp_path / "run", method="policy-distillation")
    assert distill(config)["steps"][-1]["imitation_error"] < 0.12
    with pytest.raises(
        UserError, match="has only the teacher's choices, not the q_values or logits"
    ):
        distill(replace(config, loss="kl", out=tmp_path / "other"))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_teacher_without_preferences_teaches_nothing(
    loss: Any, dataset: Path, tmp_path: Path
) -> None:
    known = read_dataset(dataset)
    values = np.full_like(known.choice_values(), 3)
    write_dataset(tmp_path / "flat.npz", replace(known, teacher_values=values))
    config = asked(tmp_path / "flat.npz", tmp_path / "run", method="policy-distillation", loss=loss)
    with pytest.raises(UserError, match="all choices of a row the same value, in every row"):
        distill(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0; give a finite number over 0"),
        ({"temperature": -1.0}, "temperature is -1; give a finite number over 0"),
        ({"temperature": float("nan")}, "temperature is nan; give a finite number over 0"),
        ({"temperature": float("inf")}, "temperature is inf; give a finite number over 0"),
        ({"temperature": 1e-45}, "temperature is .*e-45, which is 0 in float32; give 1.2e-38"),
        ({"temperature": 1e30}, "differ by at most .* all choices would be equally good; give at"),
        ({"temperature": 1.0, "loss": "mse"}, "loss mse has none"),
        ({"loss": "huber"}, "loss is 'huber'; use one of nll, mse, kl"),
        ({"method": "td3bc"}, "td3bc, which is for continuous actions"),
        ({"value_weight": 0.5}, "value_weight is 0.5, but critics need continuous"),
        ({"teacher": "logits"}, "gives logits, .* has q_values"),
        ({"teacher": "action"}, "gives 2 real numbers|has continuous actions"),
    ],
)
def test_mistakes_are_one_line(
    change: dict[str, Any], message: str, dataset: Path, tmp_path: Path
) -> None:
    if "teacher" in change:
        change = {"teacher": write_balancer(tmp_path / "teacher.onnx", change["teacher"])}
    config = asked(dataset, tmp_path / "run", method="policy-distillation")
    with pytest.raises(UserError, match=message) as caught:
        distill(replace(config, **change))
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "policy-distillation"}, "which imitates choices, but .* continuous actions"),
        ({"loss": "kl"}, "loss is kl, which is for choices"),
        ({"temperature": 0.1}, "temperature is 0.1, which is for choices"),
        ({"choosing": True}, "takes one of a few choices, but .* continuous actions"),
        ({"choosing": True, "env": ENV}, "takes one of a few choices, but .* continuous actions"),
        ({"choosing": True, "env": "MinAtar/Pong-v1"}, "MinAtar has no game MinAtar/Pong-v1; use"),
    ],
)
def test_choices_are_not_for_real_numbers(
    change: dict[str, Any],
    message: str,
    balancing: Path,
    teacher: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "choosing" in change:
        change = {key: value for key, value in change.items() if key == "env"}
        change["teacher"] = teacher
    config = replace(asked(balancing, tmp_path / "run", method="gradual"), **change)
    with pytest.raises(UserError, match=message) as caught:
        distill(config)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()
    assert capsys.readouterr().err == ""  # no warning beside the one line


def test_an_environment_that_is_not_the_datasets_is_warned_of(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = replace(asked(dataset, tmp_path / "run"), method="policy-distillation", env=ENV)
    short: dict[str, Any] = {"steps": 1, "finetune": FinetuneOptions(steps=1), "episodes": 1}
    distill(replace(changed, env_kwargs=("sutton_barto_reward=true",), **short))
    assert f"the dataset was collected in {ENV}; returns are measured in" in capsys.readouterr().err
