"""What a student is to reach: a size, a return, bytes, by every method."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsectl.command_line.config import ParetoConfig
from sparsectl.commands.distill import distill as distill_command
from sparsectl.commands.pareto import front, pareto
from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json
from sparsectl.common.nested import replaced
from sparsectl.export.table_bytes import table_bytes
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.student_file import read_student_file
from sparsectl.training.config import DistillConfig
from sparsectl.training.distillation.distill import distill
from sparsectl.training.distillation.methods import (
    METHODS,
    chosen_method,
    small_hidden,
    small_of_images,
)
from sparsectl.training.distillation.presets import chosen_preset
from sparsectl.training.policy_distillation.term import METHOD as METHOD_OF_CHOICES
from tests.training.balancer import SHORT


def config_of(dataset: Path, out: Path, **changes: Any) -> DistillConfig:
    settings: dict[str, Any] = {
        "preset": "quick",
        "method": "gradual",
        "hidden": (16, 12),
        "steps": 150,
        "batch_size": 64,
        "finetune.steps": 100,
        "finetune.newton_rows": 500,
        "finetune.prune_rounds": 2,
        "workers": 1,
        "episodes": 3,
        "evidence.episodes": 4,
    }
    return replaced(DistillConfig(dataset, out), settings | changes)


def online(dataset: Path, teacher: Path, out: Path, **changes: Any) -> DistillConfig:
    rounds = {"dagger.rounds": 0, "dagger.transitions": 300, "finetune.rounds": 1}
    return config_of(dataset, out, env=SHORT, teacher=teacher, **(rounds | changes))


def test_a_wanted_size(balancer: Path, balancing: Path, tmp_path: Path) -> None:
    result = distill_command(online(balancing, balancer, tmp_path, keep=30))
    kept = [step["kept_weights"] for step in result["steps"][1:]]
    assert kept == sorted(kept, reverse=True) and kept[0] > 100
    assert 10 < result["kept_weights"] <= 30 and result["target_met"] == "met"
    evidence = result["evidence"]
    assert evidence["return_mean"] >= 0.95 * evidence["teacher_return_mean"]
    assert evidence["episodes"] == 4
    chosen = read_student_file(tmp_path / "students" / f"{result['chosen']}.safetensors")
    for layer, other in zip(
        chosen.layers, read_student_file(Path(result["student"])).layers, strict=True
    ):
        np.testing.assert_array_equal(layer.mean, other.mean)
    assert "student-driven" in result["data"]


def test_a_wanted_return_and_its_picture(balancer: Path, balancing: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = distill_command(online(balancing, balancer, out, return_share=0.95, hidden=(8, 6)))
    assert result["target_met"] == "met" and result["kept_weights"] < 60
    drawn = pareto(ParetoConfig((out,), teacher=balancer, episodes=2, out=tmp_path / "pareto"))
    written = read_json(tmp_path / "pareto" / "pareto.json")
    assert written["points"] == drawn["points"]
    assert len(drawn["points"]) == len(result["steps"]) - 1
    assert (tmp_path / "pareto" / "pareto.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="no student in"):
        pareto(ParetoConfig((tmp_path / "pareto",)))


def test_a_target_chooses_method_and_preset(balancing: Path) -> None:
    def chosen(**targets: Any) -> tuple[str, str]:
        config = DistillConfig(balancing, **targets)
        return chosen_method(config), chosen_preset(config)

    assert chosen() == ("bpd", "thorough")
    assert chosen(preset="authors") == ("bpd", "authors")
    for targets in ({"keep": 9}, {"return_share": 0.9}):
        assert chosen(**targets) == ("gradual", "thorough")
    assert chosen(table_bytes=900) == ("small", "thorough")
    assert chosen(table_bytes=900, preset="quick") == ("small", "quick")
    assert chosen(table_bytes=900, table_encoding="packed-int8") == ("gradual", "thorough")
    assert chosen(keep=9, method="bpd") == ("bpd", "thorough")
    assert chosen(keep=9, preset="quick") == ("bpd", "quick")
    assert chosen(preset="thorough") == ("bpd", "thorough")


def test_the_front_has_what_no_other_beats() -> None:
    points = [
        {"kept_weights": size, "return_mean": value}
        for size, value in ((10, 1.0), (20, 0.5), (30, 2.0), (30, 3.0), (40, 3.0))
    ]
    assert front(points, "kept_weights") == [0, 3]


def test_a_student_without_evidence(balancer: Path, balancing: Path, tmp_path: Path) -> None:
    nothing = {"evidence.episodes": 0}
    result = distill_command(online(balancing, balancer, tmp_path, keep=30, **nothing))
    assert "evidence" not in result and not (tmp_path / "evidence.npz").exists()
    assert result["target_met"] == "met"
    judged = online(balancing, balancer, tmp_path / "judged", return_share=0.9, **nothing)
    with pytest.raises(UserError, match="evidence.episodes is 0, but --return 0.9 is judged by it"):
        distill_command(judged)


def test_wanted_bytes(balancing: Path, tmp_path: Path) -> None:
    result = distill_command(config_of(balancing, tmp_path, table_bytes=500))
    assert result["table_bytes"] <= 500 and result["target_met"] == "met"
    assert result["table_bytes"] == table_bytes(tmp_path / "student.safetensors")
    assert result["data"].startswith("purely offline") and result["coverage"] == result["data"]
    assert "evidence" not in result
    small = distill_command(
        config_of(balancing, tmp_path / "int8", table_bytes=500, table_encoding="packed-int8")
    )
    assert small["table_bytes"] <= 500 and small["kept_weights"] > result["kept_weights"]
    dense = distill_command(
        config_of(balancing, tmp_path / "dense", table_bytes=500, method="small")
    )
    assert dense["table_bytes"] <= 500 and dense["method"] == "small"
    assert dense["kept_weights"] > result["kept_weights"]
    with pytest.raises(UserError, match="table_encoding is 'int3'; use one of auto"):
        distill_command(
            config_of(balancing, tmp_path / "int3", table_bytes=500, table_encoding="int3")
        )


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {METHOD_OF_CHOICES}))
def test_every_method_gives_a_student_of_the_size(
    method: str, balancing: Path, tmp_path: Path
) -> None:
    result = distill(config_of(balancing, tmp_path, method=method, keep=60))
    assert 0 < result["kept_weights"] <= 60
    assert result["method"] == method and result["target_met"] == "met"
    errors = [step["imitation_error"] for step in result["steps"]]
    assert np.isfinite(errors).all()
    noise = 2.25 if METHODS[method].imitates == "executed" else 0.0
    assert errors[-1] < noise + 1.0


def test_critics_are_fitted_once_and_shared(balancing: Path, tmp_path: Path) -> None:
    critics = tmp_path / "critics.safetensors"
    config = config_of(balancing, tmp_path / "a", method="deterministic", critics=critics, keep=60)
    distill(config)
    written = critics.read_bytes()
    distill(replace(config, out=tmp_path / "b", seed=1))
    assert critics.read_bytes() == written
    with pytest.raises(UserError, match="holds a run with a different critics"):
        distill(replace(config, critics=None))


def test_a_small_network_is_as_wide_as_fits() -> None:
    def hidden(**target: Any) -> tuple[int, ...]:
        return small_hidden(DistillConfig(Path("d.npz"), **target), (25, 1), 2)

    assert hidden(keep=360) == (10, 10)
    assert hidden(keep=359) == (9, 9)
    assert hidden(table_bytes=4 * (360 + 21)) == (10, 10)
    assert hidden(table_bytes=4 * (360 + 21) - 1) == (9, 9)
    with pytest.raises(UserError, match="keep is 26; .* has 27 weights or more"):
        hidden(keep=26)
    with pytest.raises(UserError, match="table_bytes is 100; .* has 120 bytes or more"):
        hidden(table_bytes=100)


def test_a_small_linear_policy_fits_or_is_refused() -> None:
    def hidden(**target: Any) -> tuple[int, ...]:
        return small_hidden(DistillConfig(Path("d.npz"), **target), (11, 3), 0)

    assert hidden(keep=33) == hidden(table_bytes=4 * 36) == ()
    with pytest.raises(UserError, match="keep is 32; .* 0 hidden layers .* has 33 weights or more"):
        hidden(keep=32)
    with pytest.raises(UserError, match="table_bytes is 143; .* has 144 bytes or more"):
        hidden(table_bytes=143)


@pytest.mark.parametrize(("limit", "shape"), [(3089, (2, 5)), (6137, (3, 7)), (100_000, (11, 34))])
def test_a_small_network_of_images_fills_its_target(limit: int, shape: tuple[int, int]) -> None:
    convolution = Convolution(4, 10, 10, (3, 3))
    config = DistillConfig(Path("d.npz"), table_bytes=limit)
    channels, (neurons,) = small_of_images(config, convolution, 3, 1)
    assert (channels, neurons) == shape
    weights = channels * 36 + neurons * (64 * channels + 3)
    assert 0.95 * limit < 4 * (weights + channels + neurons + 3) <= limit


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": 9, "table_bytes": 9}, "keep and table_bytes are asked for at once; give one"),
        ({"keep": 0}, "keep is 0; it must be more than 0"),
        (
            {"keep": 10**8},
            "keep is 100,000,000, but a student with hidden layers of .* has at most",
        ),
        ({"table_bytes": -5}, "table_bytes is -5"),
        ({"return_share": 0.9}, "return 0.9 is asked for but env is None"),
        ({"kl_return": 0.9}, "kl_return is 0.9 but env is None"),
        (
            {"return_share": 97.0, "env": SHORT, "teacher": Path("t.onnx")},
            "return is 97, but it is a share of .* from 0 to 1; write 97 % as 0.97",
        ),
        (
            {"return_share": 1.05, "env": SHORT, "teacher": Path("t.onnx")},
            "return is 1.05, but it is a share .*; write 97 % as 0.97",
        ),
        (
            {"kl_return": 90.0, "env": SHORT, "teacher": Path("t.onnx")},
            "kl_return is 90, but .*; write 90 % as 0.9",
        ),
        (
            {"method": "small", "hidden": None},
            "method small trains a network of the size that you name; give --keep, --table-bytes",
        ),
        (
            {"finetune.learning_rate": 1e12, "finetune.newton_below": 0},
            "finetune diverged: loss .*; give a smaller --finetune.learning-rate",
        ),
        ({"log_alpha_threshold": float("inf")}, "log_alpha_threshold is inf; give a number from"),
        ({"log_alpha_threshold": float("nan")}, "log_alpha_threshold is nan"),
        ({"kl_weights": -1}, "kl_weights is -1; give a number from 0"),
        ({"finetune.newton_rows": 10**12}, "finetune.newton_rows is 1000000000000; give"),
        ({"finetune.steps": 10**30}, "finetune.steps is 1000000000000000000000000000000; give"),
        ({"prior_scale": 1e300}, "prior_scale is 1e.300; give a number"),
        ({"prior": "cauchy"}, "prior is 'cauchy'; use one of log-uniform"),
        ({"finetune.encoding": "int4"}, "finetune.encoding is 'int4'; use one of float32"),
        (
            {"finetune.encoding": "int8", "keep": 60},
            "is 'int8', but students of 60 weights are fine-tuned by curvature",
        ),
    ],
)
def test_targets_that_cannot_be_are_one_line(
    changes: dict[str, Any], message: str, balancing: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        distill(config_of(balancing, tmp_path, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["float16", "int8"])
def test_fine_tuning_leaves_weights_that_the_encoding_holds(
    encoding: str, balancing: Path, tmp_path: Path
) -> None:
    config = config_of(
        balancing, tmp_path, keep=60, **{"finetune.encoding": encoding, "finetune.newton_below": 0}
    )
    layers = read_student_file(Path(distill(config)["student"])).layers
    for layer in layers:
        if encoding == "float16":
            assert (layer.mean == layer.mean.astype(np.float16)).all()
        else:
            step = np.abs(layer.mean).max(axis=1, keepdims=True) / 127
            whole = np.divide(layer.mean, step, out=np.zeros_like(layer.mean), where=step > 0)
            np.testing.assert_allclose(whole, np.round(whole), atol=1e-3)


def test_critics_that_are_a_pipe_are_refused_unopened(balancing: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="--critics is .*/pipe, which is not an ordinary file"):
        distill(config_of(balancing, tmp_path / "run", critics=tmp_path / "pipe"))
