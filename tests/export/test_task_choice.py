"""A policy of several tasks: the number of the task as an input of the C and of policy.onnx."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from sparsectl import cli
from sparsectl.commands.bench import bench
from sparsectl.common.errors import UserError
from sparsectl.export.c_style import CStyle
from sparsectl.export.config import ExportConfig
from sparsectl.export.other_choices import compare_choices
from sparsectl.export.pipeline import export_policy
from sparsectl.export.task_choice import check_task_choices
from sparsectl.firmware_host.bench import bench as bench_folder
from sparsectl.firmware_host.config import BenchConfig
from sparsectl.policy.graph import Layer, PolicyGraph, Segment, Signal
from sparsectl.policy.load import load, load_acting
from sparsectl.policy.onnx_file.writer import write_onnx
from tests.tools import need

COUNTS = (3, 2)


def of_two_tasks() -> PolicyGraph:
    """The choices of the second task count from -1."""
    random = np.random.default_rng(4)
    heads = tuple(Segment(count, "argmax") for count in COUNTS)
    layers = (
        Layer(random.normal(size=(12, 5)), random.normal(size=12), "relu"),
        Layer(random.normal(size=(5, 12)), random.normal(size=5), segments=heads),
    )
    action = (
        Signal("choice_0 of Catch-v0", "index", low=0.0, high=2.0),
        Signal("choice_1", "index", offset=-1.0, low=-1.0, high=0.0),
    )
    return PolicyGraph(layers, tuple(Signal(f"o{i}", low=-2, high=2) for i in range(5)), action)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tasks") / "two.onnx"
    write_onnx(of_two_tasks(), path)
    return path


MAIN = """\
#include "two.h"
#include "two_vectors.h"

int main()
{
    int wrong = 0;
    for (unsigned row = 0; row < TWO_VECTOR_COUNT; row++) {
        for (unsigned task = 0; task < TWO_TASKS; task++) {
            long choice = 77;
            wrong += !two_choose(task, two_vector_observation[row], &choice);
            wrong += (float)choice != two_vector_action[row][task];
        }
    }
    long kept = 77;
    wrong += two_choose(TWO_TASKS, two_vector_observation[0], &kept);
    wrong += two_choose(0U - 1U, two_vector_observation[0], &kept);
    float unknown[TWO_OBSERVATION_SIZE] = {0};
    unknown[1] = TWO_VECTOR_COUNT * 1e30f * 1e30f; /* infinity */
    unknown[1] -= unknown[1];
    wrong += two_choose(1, unknown, &kept);
    return wrong + (kept != 77);
}
"""


@pytest.mark.parametrize(
    ("encoding", "portable", "compiler", "name"),
    [("dense", True, "g++ -std=c++98", "main.cpp"), ("straight-int8", False, "gcc", "main.c")],
)
def test_c_takes_the_task(
    model: Path, tmp_path: Path, encoding: str, portable: bool, compiler: str, name: str
) -> None:
    need("gcc", "g++")
    out = tmp_path / "policy"
    made = export_policy(
        ExportConfig(
            model, out, encoding=encoding, portable=portable, prefix="two", observations=300
        )
    )
    assert made["bit_exact"] and made["choices"]["observations"] == 300
    said = json.loads((out / "policy.json").read_text())["tasks"]
    assert said == [
        {"task": 0, "name": "choice_0 of Catch-v0", "first": 0, "choices": 3},
        {"task": 1, "name": "choice_1", "first": -1, "choices": 2},
    ]
    (tmp_path / name).write_text(MAIN)
    files = ["main", *(["-x", "c++"] if portable else []), out / "two.c", tmp_path / name]
    flags = ["-Wall", "-Wextra", "-Werror", "-ffp-contract=off", f"-I{out}", "-o"]
    subprocess.run([*compiler.split(), *flags, *files], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 0


def test_onnx_takes_the_tasks(model: Path) -> None:
    session = onnxruntime.InferenceSession(str(model))
    seen = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32)
    every = session.run(["action"], {"observation": seen})[0]
    np.testing.assert_array_equal(session.run(["choice"], {"observation": seen})[0], every)
    for tasks in ([0], [1], [1, 0]):
        given = {"observation": seen, "task": np.array(tasks)}
        np.testing.assert_array_equal(session.run(["choice"], given)[0], every[:, tasks])
    for missing in (2, -1, -2):  # as in C, which has none either
        with pytest.raises(Exception, match="out of data bounds"):
            session.run(["choice"], {"observation": seen, "task": np.array([missing])})
    graph, policy = of_two_tasks(), load_acting(model)
    assert load(model).digest == graph.digest
    np.testing.assert_array_equal(policy.act(seen), graph.forward(seen))


def test_the_pages_call_gives_a_tasks_choice(model: Path) -> None:
    """The call in docs/training.md, as it stands there."""
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    [call] = re.findall(r"`(session\.run\(.*\))`", page)
    session = onnxruntime.InferenceSession(str(model))
    x = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32)
    [choice] = eval(call, {"session": session, "x": x, "np": np})
    np.testing.assert_array_equal(choice, session.run(["action"], {"observation": x})[0][:, [1]])


def test_another_choice_than_that_of_all_tasks_is_seen(model: Path, tmp_path: Path) -> None:
    out, scratch = tmp_path / "policy", tmp_path / "scratch"
    export_policy(ExportConfig(model, out, observations=300))
    scratch.mkdir()
    graph, session = load(model), onnxruntime.InferenceSession(str(model))
    seen = np.random.default_rng(2).uniform(-2, 2, (50, 5)).astype(np.float32)
    asked = (graph, session, out, scratch, CStyle().prefix, seen)
    check_task_choices(*asked, graph.forward(seen))
    other = graph.forward(seen)
    other[7, 1] = -1 - other[7, 1]
    with pytest.raises(UserError, match="policy_choose gives another choice than policy_act"):
        check_task_choices(*asked, other)


def test_regret_and_ties_are_counted_in_each_head() -> None:
    graph = of_two_tasks()
    seen = np.random.default_rng(3).uniform(-2, 2, (100, 5))
    exact, values = graph.forward_exact(seen), graph.values_exact(seen)
    own, found = exact.copy(), exact.copy()
    found[4, 0], found[9, 1] = values[4, :3].argmin(), -1 - exact[9, 1]
    found[9, 0] = values[9, :3].argmin()  # both heads of one observation
    own[6, 1] = found[6, 1] = -1 - exact[6, 1]  # a tie that both break alike
    counted = compare_choices(graph, seen, found, exact, own)
    assert (counted.other, counted.ties, counted.share) == (2, 1, 0.02)
    lost = [np.ptp(values[4, :3]), max(np.ptp(values[9, :3]), np.ptp(values[9, 3:]))]
    assert counted.regret_max == pytest.approx(max(lost))
    assert counted.regret_mean == pytest.approx(sum(lost) / 100)


def test_bench_counts_other_choices(model: Path, tmp_path: Path) -> None:
    need("arm-none-eabi-gcc")
    out = tmp_path / "policy"
    export_policy(ExportConfig(model, out, encoding="dense-int8", observations=300, error=0.5))
    graph = load(model)
    found = bench(BenchConfig(out, board="cortex-m4f"))
    assert found["bit_exact"] and found["max_abs_error"] is None
    vectors = json.loads((out / "policy.json").read_text())["golden_vectors"]["count"]
    assert (found["other_choices"] * vectors) % 1 == 0

    def never(given: np.ndarray) -> np.ndarray:
        wrong = graph.forward_exact(given)
        wrong[::4, 0] += 5  # a choice that there is not, for every fourth
        return wrong

    with pytest.raises(UserError, match=r"takes 0\.\d+ of the golden vectors with another choice"):
        bench_folder(BenchConfig(out, runs=1, error=0.1), never)


@pytest.mark.parametrize(("values", "refused"), [(3, False), (4, True)])
def test_logits_with_the_signal_of_a_choice_are_chosen_from(
    model: Path, tmp_path: Path, values: int, refused: bool
) -> None:
    """What `evaluate` takes, `export` takes too: the greatest value is the choice."""
    graph = of_two_tasks()
    one = PolicyGraph(
        (graph.layers[0], Layer(np.eye(values, 12, dtype=np.float32), np.zeros(values))),
        graph.observation,
        tuple(Signal(f"v{i}") for i in range(values)),
    )
    path = tmp_path / "logits.onnx"
    write_onnx(one, path)
    file = onnx.load(path)
    file.graph.node[-1].output[0] = "logits"
    del file.graph.output[:]
    shape = ["batch", values]
    file.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape))
    signals = {**one.signals(), "action": [{"name": "c", "unit": "index", "low": 1, "high": 3}]}
    del file.metadata_props[:]
    helper.set_model_props(file, {"sparsectl.signals": json.dumps(signals)})
    onnx.save(file, path)
    config = ExportConfig(path, tmp_path / "policy", observations=300)
    if refused:
        with pytest.raises(UserError, match="has 4 values, but its signals say 3 choices"):
            export_policy(config)
        return
    assert export_policy(config)["bit_exact"]
    seen = np.random.default_rng(8).uniform(-2, 2, (200, 5)).astype(np.float32)
    wanted = one.forward(seen).argmax(axis=1) + 1.0
    for policy in (load_acting(path), load_acting(tmp_path / "policy")):
        assert (policy.act(seen)[:, 0] == wanted).mean() > 0.98  # near ties, other sums


def test_an_image_has_few_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tuple(Signal(f"pixel_{i}", low=0.0, high=1.0) for i in range(300))
    last = Signal("speed", low=-3.0, high=3.0)
    layer = Layer(np.ones((1, 301), np.float32), np.zeros(1, np.float32))
    model = tmp_path / "image.onnx"
    write_onnx(PolicyGraph((layer,), (*names, last), (Signal("a"),)), model)
    out = tmp_path / "policy"
    assert cli.run(["export", str(model), "--out", str(out), "--observations", "200"]) == 0
    said, header = capsys.readouterr().out, (out / "policy.h").read_text()
    assert said.count("pixel_") < 8 and "speed" in said
    assert " *   0 to 299  pixel_0 to pixel_299 [1], 0 to 1\n *   300  speed [1], -3 to 3" in header
