"""Games seen as images, the whole way: a teacher with a convolution, its students, their C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.policy.load import load, load_acting
from sparsectl.policy.student_file import read_student_file
from sparsectl.training.config import CollectConfig, DistillConfig, TeachConfig
from sparsectl.training.data.files import read_dataset
from sparsectl.training.distillation.distill import distill
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.settings import FinetuneOptions
from sparsectl.training.teachers.teach import teach

ENV = "MinAtar/Breakout-v1"


def taught(out: Path, algo: Any = "ppo", steps: int = 256, **more: Any) -> Path:
    config = TeachConfig(
        env=ENV,
        algo=algo,
        steps=steps,
        environments=4,
        channels=3,
        hidden=(12,),
        evaluate_every=128,
        evaluate_episodes=2,
        out=out,
        **more,
    )
    return Path(teach(config)["teacher"])


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="module")
def dataset(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dataset") / "breakout.npz"
    collect(CollectConfig(teacher, ENV, path, 1_000, noise=0.5, noise_fraction=1.0, workers=1))
    return path


def asked(dataset: Path, out: Path, **settings: Any) -> DistillConfig:
    settings = {"channels": 2, "hidden": (8,), "method": "policy-distillation"} | settings
    finetune = FinetuneOptions(steps=60, prune_rounds=1)
    return DistillConfig(
        dataset, out, "quick", steps=60, batch_size=64, finetune=finetune, workers=1, **settings
    )


def test_a_teachers_file_is_a_convolution_and_what_it_learnt(teacher: Path, dataset: Path) -> None:
    graph, policy, rows = load(teacher), load_acting(teacher), read_dataset(dataset)
    assert graph.layers[0].convolution is not None
    assert [layer.weight.shape for layer in graph.layers] == [(3, 36), (12, 192), (3, 12)]
    assert policy.weights == 3 * 36 + 12 * 192 + 3 * 12
    values = policy.values(rows.observations)
    assert values is not None and rows.teacher_values is not None
    np.testing.assert_allclose(values, rows.teacher_values, rtol=1e-5, atol=1e-5)
    assert (graph.forward(rows.observations) == rows.teacher_actions).mean() > 0.98  # near ties


def test_dqn_sees_images_and_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    more = {"learning_starts": 40}
    whole = load(taught(tmp_path / "whole", "dqn", **more))
    assert whole.layers[0].convolution is not None
    again = taught(tmp_path / "whole", "dqn", **more)  # finished: nothing is learnt anew
    np.testing.assert_array_equal(load(again).layers[0].weight, whole.layers[0].weight)


@pytest.mark.parametrize(
    "settings",
    [{"keep": 300}, {"method": "bpd", "kl_multiplier": 0.0}, {"channels": 0, "keep": 300}],
    ids=["cut", "bpd", "dense"],
)
def test_a_student_of_images_becomes_c(
    settings: dict[str, Any], dataset: Path, tmp_path: Path
) -> None:
    result = distill(asked(dataset, tmp_path / "run", **settings))
    path, rows = Path(result["student"]), read_dataset(dataset).observations
    graph, student = load(path), load_acting(path)
    assert (graph.layers[0].convolution is None) == (settings.get("channels") == 0)
    assert (graph.forward(rows) == student.act(rows)).mean() > 0.98
    assert result["kept_weights"] == graph.kept_weights <= settings.get("keep", 1_119)
    exported = export_policy(ExportConfig(path, tmp_path / "policy", calibration=dataset))
    assert exported["bit_exact"]
    # Where two values all but tie, onnxruntime's other order of sums may choose the other.
    assert (load_acting(tmp_path / "policy").act(rows) == student.act(rows)).mean() > 0.98


def test_a_stopped_run_keeps_its_convolution(dataset: Path, tmp_path: Path) -> None:
    first = distill(asked(dataset, tmp_path / "run", keep=300))
    again = distill(asked(dataset, tmp_path / "run", keep=300))  # from its checkpoint
    layers = [read_student_file(Path(result["student"])).layers for result in (first, again)]
    assert layers[0][0].convolution == layers[1][0].convolution is not None
    np.testing.assert_array_equal(layers[0][0].mean, layers[1][0].mean)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "neurons"}, "cuts whole neurons, but a student of images has a convolution"),
        ({"method": "group"}, "cuts whole neurons, but a student of images has a convolution"),
        ({"method": "small", "keep": 90}, "from images to 3 actions has 103 weights or more"),
        ({"channels": -1}, "channels is -1"),
    ],
)
def test_mistakes_are_one_line(
    settings: dict[str, Any], message: str, dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        distill(asked(dataset, tmp_path / "run", **settings))
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_images_are_not_for_actors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"takes one of 3 choices; give --algo dqn or ppo"):
        teach(TeachConfig(env=ENV, algo="sac", out=tmp_path / "run"))
