"""A policy that chooses, in encodings that round: counted by hand, refused over the limit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.encodings.registry import encode
from sparsectl.export.other_choices import compare_choices, wilson
from sparsectl.export.pipeline import export_policy
from sparsectl.firmware_host.bench import bench
from sparsectl.firmware_host.config import BenchConfig
from sparsectl.policy.graph import Layer, PolicyGraph, Segment, Signal
from sparsectl.policy.onnx_file.writer import write_onnx


def choosing(seed: int = 0, inputs: int = 6, hidden: int = 16, count: int = 4) -> PolicyGraph:
    """A network of random weights that takes the greatest of `count` values, numbered from 2 on."""
    random = np.random.default_rng(seed)
    layers = (
        Layer(
            random.normal(0, 0.5, (hidden, inputs)).astype(np.float32),
            random.normal(0, 0.1, hidden).astype(np.float32),
            "relu",
        ),
        Layer(
            random.normal(0, 0.5, (count, hidden)).astype(np.float32),
            np.zeros(count, np.float32),
            "argmax",
        ),
    )
    action = Signal("choice", unit="index", offset=2.0, low=2.0, high=count + 1.0)
    return PolicyGraph(
        layers, tuple(Signal(f"o{i}", low=-2, high=2) for i in range(inputs)), (action,)
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("choosing") / "choosing.onnx"
    write_onnx(choosing(), path)
    return path


@pytest.mark.parametrize("encoding", ["packed-int8", "dense-int8", "csr-float16"])
def test_the_share_is_what_a_count_by_hand_gives(
    model: Path, encoding: str, tmp_path: Path
) -> None:
    """The C's own bits are proven by the export; here its reference is run once more."""
    random = np.random.default_rng(5)
    met = random.uniform(-2, 2, (3000, 6)).astype(np.float32)
    np.savez(tmp_path / "met.npz", observations=met)
    out = tmp_path / "policy"
    made = export_policy(
        ExportConfig(
            model, out=out, encoding=encoding, calibration=tmp_path / "met.npz", observations=1000
        )
    )
    said = made["choices"]
    assert made["max_error_share"] == said["share"] == said["other"] / said["observations"]
    assert said["share_low"] <= said["share"] <= said["share_high"]
    assert (said["regret_max"] > 0) == (said["other"] > 0)
    assert json.loads((out / "policy.json").read_text())["accuracy"]["choices"] == said
    assert f"another choice for {said['other']} of" in (out / "policy.h").read_text()
    assert made["bit_exact"]


def several(switches: int, values: int, seed: int = 3) -> PolicyGraph:
    """Switches of -1 and 1, a choice among three and, beside them, tanh of `values`."""
    graph = choosing(seed, count=switches + 3 + values)
    segments = (Segment(switches, "step"), Segment(3, "argmax"))
    segments += (Segment(values, "tanh"),) if values else ()
    switch = [Signal(f"s{i}", scale=2.0, offset=-1.0) for i in range(switches)]
    action = (*switch, Signal("choice"), *(Signal(f"v{i}") for i in range(values)))
    last = graph.layers[-1]
    last = Layer(last.weight, last.bias, segments=segments)
    return replace(graph, layers=(graph.layers[0], last), action=action)


@pytest.mark.parametrize("values", [0, 2])
@pytest.mark.parametrize("encoding", ["packed-int8", "dense-int8", "csr-float16"])
def test_switches_and_mixed_actions_are_counted(values: int, encoding: str, tmp_path: Path) -> None:
    graph = several(3, values)
    write_onnx(graph, tmp_path / "several.onnx")
    out = tmp_path / "policy"
    made = export_policy(
        ExportConfig(tmp_path / "several.onnx", out, encoding=encoding, observations=2000)
    )
    said, errors = made["choices"], made["max_abs_error"]
    assert made["bit_exact"] and said["observations"] == 2000
    assert (said["regret_max"] > 0) == (said["other"] > 0)
    text = (out / "policy.h").read_text()
    assert f"another choice for {said['other']} of 2000" in text
    assert ("the other actions within" in text) == bool(values)
    assert json.loads((out / "policy.json").read_text())["chosen_actions"] == [0, 1, 2, 3]
    if values:  # what is no choice is judged by its error
        assert 0 < errors["host_c"] < made["error_limit"] <= 0.1
        assert made["max_error_share"] >= said["share"]
    else:
        assert made["max_error_share"] == said["share"]
    found = bench(BenchConfig(out))
    assert (found["max_abs_error"] is None) == (not values)
    assert 0 <= found["other_choices"] <= 0.2


def test_each_kind_of_action_has_its_limit(tmp_path: Path) -> None:
    write_onnx(several(3, 2), tmp_path / "m.onnx")
    config = ExportConfig(tmp_path / "m.onnx", tmp_path / "p", encoding="packed-int8", error=1e-4)
    with pytest.raises(UserError, match="packed-int8 chooses differently .* share of 0.0001 is"):
        export_policy(config)
    graph = several(3, 2)
    last = graph.layers[-1]
    weight = np.concatenate([np.zeros_like(last.weight[:6]), last.weight[6:]])
    bias = np.concatenate([np.float32([1, -1, 1, 0, 1, 0]), last.bias[6:]])
    settled = Layer(weight, bias, segments=last.segments)
    write_onnx(replace(graph, layers=(graph.layers[0], settled)), tmp_path / "m.onnx")
    with pytest.raises(UserError, match=r"differs by .*action [45] is .* give an --error of at"):
        export_policy(config)


def test_what_counts_as_another_choice() -> None:
    graph = choosing()
    observations = np.random.default_rng(1).uniform(-2, 2, (200, 6))
    exact = graph.forward_exact(observations)
    own, found = exact.copy(), exact.copy()
    values = graph.values_exact(observations)
    assert np.array_equal(values.argmax(axis=1) + 2.0, exact[:, 0])
    order = np.argsort(values, axis=1)
    own[0], found[0] = 2.0 + order[0, -2], 2.0 + order[0, -2]  # a tie that both break alike
    own[1] = 2.0 + order[1, -2]  # a tie that the encoding breaks as float64 does
    found[2], found[3] = 2.0 + order[2, -2], 2.0 + order[3, 0]  # the second best, the worst
    counted = compare_choices(graph, observations, found, exact, own)
    assert (counted.other, counted.ties) == (2, 2)
    regrets = [values[2].max() - np.sort(values[2])[-2], values[3].max() - values[3].min()]
    assert counted.regret_max == pytest.approx(max(regrets))
    assert counted.regret_mean == pytest.approx(sum(regrets) / 200)


def test_over_the_limit_is_refused_with_the_share_and_what_would_do(
    model: Path, tmp_path: Path
) -> None:
    config = ExportConfig(model, out=tmp_path / "out", encoding="dense-int8", error=1e-4)
    with pytest.raises(UserError) as caught:
        export_policy(config)
    said = str(caught.value)
    assert "dense-int8 chooses differently from choosing.onnx for" in said and "\n" not in said
    assert "of 10000 observations" in said and "where a share of 0.0001 is allowed" in said
    assert not (tmp_path / "out").exists()


def test_float32_takes_every_choice_whatever_the_error(model: Path, tmp_path: Path) -> None:
    """`--error` is of encodings that round: a float32 policy has no share to spend."""
    made = export_policy(ExportConfig(model, out=tmp_path / "out", encoding="csr", error=1e-9))
    assert made["choices"]["other"] == 0 and made["max_error_share"] == 0


def test_a_coarse_encoding_chooses_otherwise_somewhere() -> None:
    """Else the others here would prove nothing."""
    graph = choosing()
    met = np.random.default_rng(2).uniform(-2, 2, (4000, 6)).astype(np.float32)
    rounded = encode("dense-int8", graph, met, are_met=True)
    assert np.any(rounded.forward(met) != graph.forward(met))


@given(count=st.integers(1, 10**7), other=st.data())
def test_the_interval_holds_the_share_and_narrows(count: int, other: st.DataObject) -> None:
    wrong = other.draw(st.integers(0, count))
    low, high = wilson(wrong, count)
    assert 0 <= low <= wrong / count <= high <= 1
    wide = wilson(wrong, count)
    narrow = wilson(100 * wrong, 100 * count)
    assert narrow[1] - narrow[0] <= wide[1] - wide[0]
