"""Policies that choose one of a few: from every file that has one to episodes, datasets and C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import onnx
import pytest
from gymnasium.spaces import Discrete
from onnx import TensorProto, helper, numpy_helper
from stable_baselines3 import A2C, DQN, PPO

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.policy.choices import choices_of
from sparsectl.policy.load import LoadOptions, load, load_acting
from sparsectl.training.config import CollectConfig, EvaluateConfig
from sparsectl.training.data.files import read_dataset, write_dataset
from sparsectl.training.environments.environments import make_environment
from sparsectl.training.environments.signals import environment_signals
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.rollouts.evaluate import evaluate
from tests.training.test_sb3_heads import Space, saved

CARTPOLE = "CartPole-v1"


def write_onnx(
    path: Path, output: str, kind: str = "values", outputs: int = 2, inputs: int = 4
) -> Path:
    """A linear policy; of `kind` values, index (int64 [batch]) or two (values and a state's)."""
    weight = np.random.default_rng(3).normal(0, 1, (outputs, inputs)).astype(np.float32)
    weight[-1] = np.arange(inputs)  # pushes the pole's way, so that episodes last a little
    constants = [numpy_helper.from_array(weight, "w")]
    nodes = [
        helper.make_node("Gemm", ["o", "w"], ["sums" if kind == "index" else output], transB=1)
    ]
    shown = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["b", outputs])]
    if kind == "index":
        nodes.append(helper.make_node("ArgMax", ["sums"], [output], axis=1, keepdims=0))
        shown = [helper.make_tensor_value_info(output, TensorProto.INT64, ["b"])]
    if kind == "two":
        nodes.append(helper.make_node("ReduceSum", ["o"], ["value"], keepdims=1))
        shown.append(helper.make_tensor_value_info("value", TensorProto.FLOAT, None))
    seen = [helper.make_tensor_value_info("o", TensorProto.FLOAT, ["b", inputs])]
    graph = helper.make_graph(nodes, "policy", seen, shown, constants)
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("algorithm", "values"), [(DQN, "q_values"), (PPO, "logits"), (A2C, "logits")]
)
@pytest.mark.parametrize("first", [0, 3])
def test_a_zip_chooses_as_the_library_does(
    algorithm: Any, values: str, first: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.zip"
    model = saved(path, algorithm, Space(done=Discrete(4, start=first)))
    rows = np.random.default_rng(0).normal(0, 2, (300, 3)).astype(np.float32)
    # The library counts from 0 whatever the space's first choice is.
    expected = model.predict(rows, deterministic=True)[0] + first
    policy, graph = load_acting(path), load(path)
    numbers = "numbers the choices from 3 to 6, and so do its actions here; Stable-Baselines3's own"
    assert (numbers in capsys.readouterr().err) == (first == 3)
    assert policy.values_kind == values and len(np.unique(expected)) > 1
    np.testing.assert_array_equal(policy.act(rows)[:, 0], expected)
    np.testing.assert_array_equal(graph.forward(rows), policy.act(rows))
    (signal,) = graph.action
    assert (signal.unit, signal.low, signal.high) == ("index", first, first + 3)
    given = policy.values(rows)
    assert given is not None
    np.testing.assert_array_equal(given.argmax(axis=1) + first, policy.act(rows)[:, 0])


@pytest.mark.parametrize(
    ("output", "kind", "values"),
    [
        ("q_values", "values", "q_values"),
        ("logits", "two", "logits"),
        ("anything", "index", None),
    ],
)
def test_onnx_of_choices(output: str, kind: str, values: str | None, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "policy.onnx", output, kind)
    policy = load_acting(path)
    assert policy.values_kind == values and policy.action_size == 1
    result = evaluate(EvaluateConfig(path, CARTPOLE, episodes=5))
    assert 8 <= result["return_mean"] <= 500
    again = write_onnx(tmp_path / "again.onnx", "logits")
    rows = np.random.default_rng(1).normal(0, 1, (50, 4)).astype(np.float32)
    np.testing.assert_array_equal(policy.act(rows), load_acting(again).act(rows))


@pytest.mark.parametrize(
    ("output", "softmax", "warned"),
    [("q_values", False, True), ("anything", True, True), ("action", False, False)],
)
def test_values_become_actions_with_a_warning_and_with_argmax_a_choice(
    output: str, softmax: bool, warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_onnx(tmp_path / "policy.onnx", output, outputs=3)
    if softmax:
        model = onnx.load(path)
        model.graph.node[0].output[0] = "sums"
        model.graph.node.append(helper.make_node("Softmax", ["sums"], [output], axis=1))
        onnx.save(model, path)
    assert load(path).action_size == 3
    said = "a value for each of 3 choices, and becomes 3 actions; with --argmax the action is the"
    assert (said in capsys.readouterr().err) == warned
    result = export_policy(ExportConfig(path, tmp_path / "policy", argmax=True, observations=500))
    assert result["bit_exact"] and result["choices"]["observations"] == 500
    graph = load(tmp_path / "policy")
    rows = np.random.default_rng(1).normal(0, 1, (200, 4)).astype(np.float32)
    expected = load(path).forward(rows).argmax(axis=1)
    assert len(np.unique(expected)) == 3
    np.testing.assert_array_equal(graph.forward(rows)[:, 0], expected)
    (signal,) = graph.action
    assert (signal.unit, signal.low, signal.high) == ("index", 0, 2)


@pytest.mark.parametrize(("output", "warned"), [("mu", True), ("action_mean", True), ("q", False)])
def test_argmax_of_a_mean_is_warned_of(
    output: str, warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_onnx(tmp_path / "policy.onnx", output, outputs=3)
    assert load(path, LoadOptions(argmax=True)).action_size == 1
    said = f"output '{output}' has the name of a mean of continuous actions, and with --argmax"
    assert (said in capsys.readouterr().err) == warned


def test_an_index_has_no_greatest_value(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "policy.onnx", "choice", "index")
    with pytest.raises(UserError, match="output 'choice' has one value, and --argmax takes one"):
        load(path, LoadOptions(argmax=True))
    model = saved(tmp_path / "model.zip", DQN, Space(done=Discrete(4)))
    assert model is not None
    with pytest.raises(UserError, match="--argmax is given; it is for ONNX files, .* says itself"):
        load(tmp_path / "model.zip", LoadOptions(argmax=True))


def test_a_dataset_has_what_the_teacher_gives_for_each_choice(tmp_path: Path) -> None:
    teacher = write_onnx(tmp_path / "teacher.onnx", "q_values")
    config = CollectConfig(
        teacher, CARTPOLE, tmp_path / "d.npz", 400, noise=0.3, noise_fraction=1.0, workers=1
    )
    collect(config)
    dataset = read_dataset(tmp_path / "d.npz")
    with np.load(tmp_path / "d.npz") as file:
        assert "q_values" in file.files and "logits" not in file.files
    policy = load_acting(teacher)
    np.testing.assert_allclose(dataset.teacher_values, policy.values(dataset.observations), 1e-5)
    np.testing.assert_array_equal(dataset.teacher_actions, policy.act(dataset.observations))
    strayed = (dataset.actions != dataset.teacher_actions).mean()
    assert 0.08 < strayed < 0.22  # ε 0.3, half of which falls on the teacher's own choice
    rows = np.array([5, 3, 5])
    assert dataset.teacher_values is not None
    np.testing.assert_array_equal(dataset.taken(rows).teacher_values, dataset.teacher_values[rows])
    assert dataset.first(7).teacher_values.shape == (7, 2)  # type: ignore[union-attr]
    assert dataset.digest() != dataset.first(399).digest()


def test_minari_keeps_the_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    teacher = write_onnx(tmp_path / "teacher.onnx", "logits")
    collect(CollectConfig(teacher, CARTPOLE, tmp_path / "d.npz", 200, workers=1))
    dataset = read_dataset(tmp_path / "d.npz")
    write_dataset(Path("minari:test/choices-v0"), dataset)
    again = read_dataset(Path("minari:test/choices-v0"))
    np.testing.assert_array_equal(again.teacher_values, dataset.teacher_values)
    assert again.metadata["values"] == "logits"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q_values": np.full((20, 2), np.nan)}, "`q_values` has NaN or infinity"),
        ({"q_values": np.zeros((19, 2))}, r"`q_values` has shape \(19, 2\)"),
        ({"logits": np.zeros((20, 2))}, "has both q_values and logits"),
        ({"actions": np.full((20, 1), 0.5)}, "`actions` has 0.5 in row 0; a choice is a whole"),
        ({"actions": np.full((20, 1), 7.0)}, "`actions` has 7 in row 0"),
    ],
)
def test_broken_datasets_are_one_line(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    zeros = np.zeros(20, np.float32)
    arrays: dict[str, Any] = {
        "observations": np.zeros((20, 4), np.float32),
        "next_observations": np.zeros((20, 4), np.float32),
        "actions": np.ones((20, 1), np.float32),
        "rewards": zeros,
        "terminations": zeros.astype(bool),
        "truncations": zeros.astype(bool),
        "q_values": np.random.default_rng(0).normal(0, 1, (20, 2)).astype(np.float32),
    }
    np.savez(tmp_path / "good.npz", **arrays)
    assert choices_of(read_dataset(tmp_path / "good.npz").signals) is not None
    np.savez(tmp_path / "bad.npz", **{**arrays, **change})
    with pytest.raises(UserError, match=message) as caught:
        read_dataset(tmp_path / "bad.npz")
    assert "\n" not in str(caught.value)


def test_policies_of_another_kind_are_refused(tmp_path: Path) -> None:
    chooses = write_onnx(tmp_path / "chooses.onnx", "q_values", inputs=3)
    acts = write_onnx(tmp_path / "acts.onnx", "action", outputs=1)
    three = write_onnx(tmp_path / "three.onnx", "logits", outputs=3)
    for path, env, message in (
        (
            chooses,
            "Pendulum-v1",
            "takes one of a few choices, but Pendulum-v1 takes 1 real numbers",
        ),
        (acts, CARTPOLE, "gives 1 real numbers, but CartPole-v1 takes one of 2 choices"),
        (three, CARTPOLE, "has 3 choices, numbered from 0, but CartPole-v1 has 2, numbered from 0"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            evaluate(EvaluateConfig(path, env, episodes=1))
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="noise is 2; for choices it is the probability"):
        good = write_onnx(tmp_path / "good.onnx", "q_values")
        collect(CollectConfig(good, CARTPOLE, tmp_path / "d.npz", 10, noise=2.0))


def test_choices_that_are_numbered_otherwise_are_refused_with_the_wrapper_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    path = write_onnx(tmp_path / "logits.onnx", "logits", inputs=2, outputs=3)
    lever = "own_environment:Lever"
    with pytest.raises(UserError, match=r"has 3, numbered from -1; .* --wrapper that numbers its"):
        evaluate(EvaluateConfig(path, lever, episodes=1))
    wrapped = EvaluateConfig(path, lever, wrapper=("own_environment:FromZero",), episodes=2)
    assert len(evaluate(wrapped)["returns"]) == 2


def test_an_environment_takes_whole_numbers_of_its_choices_alone() -> None:
    env = make_environment(CARTPOLE)
    env.reset(seed=0)
    assert env.step(np.array([1.0], np.float32))[1] == 1.0
    assert env.step(0)[1] == 1.0
    for wrong in (np.array([0.5]), np.array([2.0]), np.array([0.0, 1.0])):
        with pytest.raises(UserError, match="takes one of the whole numbers 0 to 1"):
            env.step(wrong)
    signals = environment_signals(gymnasium.make("Acrobot-v1"))
    choices = choices_of(signals)
    assert choices is not None and (choices.first, choices.count) == (0, 3)
