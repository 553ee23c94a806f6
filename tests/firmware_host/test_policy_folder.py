"""What is read back from an exported folder: from its policy.json or, of an earlier release's, from
its C; never from files that were changed in between."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sparsectl.commands.choosing.benches import on_board
from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.export.config import ExportConfig
from sparsectl.export.golden import MOST_NUMBERS
from sparsectl.export.pipeline import export_policy
from sparsectl.firmware_host.config import BenchConfig
from sparsectl.firmware_host.policy_folder import read_golden_vectors, read_policy_facts
from sparsectl.policy.folder import GOLDEN_VECTORS, POLICY_JSON, GoldenVectors, PolicyFacts
from sparsectl.policy.load import load
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.policy.onnx_file.writer import write_onnx
from tests.hil.policies import EASY_POLICY, export_into
from tests.policy.graphs import random_graph


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_into(EASY_POLICY, tmp_path_factory.mktemp("exported") / "policy")


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "policy"))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    said = json.loads((folder / POLICY_JSON).read_text())
    change(said)
    (folder / POLICY_JSON).write_text(json.dumps(said))


def test_both_ways_of_reading_agree(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a folder with golden vectors in policy.json nothing is read but that; of one without, as
    earlier releases wrote it, or without any policy.json, the C, with a warning."""
    warn.cache_clear()
    facts, golden = read_policy_facts(folder), read_golden_vectors(folder)
    assert capsys.readouterr().err == ""
    graph = read_onnx(folder / "policy.onnx")
    assert facts == PolicyFacts.of(graph, "csr")
    assert golden.observations.shape == (4, 25) and golden.actions.shape == (4, 1)
    rewrite(folder, lambda said: said.pop(GOLDEN_VECTORS))
    for _ in range(2):
        assert read_policy_facts(folder) == facts
        earlier = read_golden_vectors(folder)
        assert earlier.observations.tobytes() == golden.observations.tobytes()
        assert earlier.actions.tobytes() == golden.actions.tobytes()
        (folder / POLICY_JSON).unlink(missing_ok=True)
    said = capsys.readouterr().err
    assert "export the policy again: the next release will refuse this folder" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["policy.h", "policy_vectors.h"])
def test_a_header_that_was_changed_is_refused(folder: Path, name: str) -> None:
    with (folder / name).open("a") as file:
        file.write("/* mine */\n")
    with pytest.raises(UserError, match=rf"{name} has SHA-256 .* names .*changed after") as caught:
        read_golden_vectors(folder)
    assert "\n" not in str(caught.value)


def test_another_onnx_beside_the_c_is_refused(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "policy.onnx")
    assert load(folder).digest == load(folder / "policy.onnx").digest
    model.doc_string = "mine"
    onnx.save(model, folder / "policy.onnx")
    config = BenchConfig(policy=folder, board="cortex-m4f")
    for reads in (lambda: load(folder), lambda: on_board(config)):
        with pytest.raises(UserError, match=r"policy.onnx has SHA-256 .*changed after") as caught:
            reads()
        assert "\n" not in str(caught.value)
    assert load(folder / "policy.onnx").digest  # by itself it is a policy like any other
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(folder / "policy.onnx", alone)
    assert load(alone).digest  # nothing here says what it should be


CHANGES: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("no hash of it", lambda said: said["files"].pop("policy.h")),
    ("files", lambda said: said.update(files=3)),
    ("digest", lambda said: said.update(digest="g" * 64)),
    ("digest", lambda said: said.pop("digest")),
    ("signals", lambda said: said.pop("signals")),
    ("frames", lambda said: said["signals"].update(frames=0)),
    ("frames", lambda said: said["signals"].update(frames=True)),
    ("observation", lambda said: said["signals"].update(observation="25")),
    ("0 signals", lambda said: said["signals"].update(observation=[])),
    ("period", lambda said: said["signals"].update(period_s=-1)),
    ("period", lambda said: said["signals"].update(period_s="0.02")),
    ("encoding", lambda said: said.update(encoding="csr")),
    ("kept_weights", lambda said: said.update(kept_weights=-1)),
    ("golden_vectors", lambda said: said.update(golden_vectors=[1.0])),
    ("count", lambda said: said[GOLDEN_VECTORS].update(count=0)),
    ("have 400 bytes, not 5 rows", lambda said: said[GOLDEN_VECTORS].update(count=5)),
    ("observations", lambda said: said[GOLDEN_VECTORS].update(observations="!")),
    ("actions", lambda said: said[GOLDEN_VECTORS].update(actions="é")),
]


@pytest.mark.parametrize(("named", "change"), CHANGES)
def test_a_policy_json_that_is_none_is_refused(
    folder: Path, named: str, change: Callable[[dict[str, Any]], Any]
) -> None:
    rewrite(folder, change)
    with pytest.raises(UserError, match="export the policy again") as caught:
        read_golden_vectors(folder)
    message = str(caught.value)
    assert named in message or named == "no hash of it"
    assert "\n" not in message and len(message) < 400


def test_what_is_no_object_is_refused(folder: Path) -> None:
    (folder / POLICY_JSON).write_text("[1, 2]")
    with pytest.raises(UserError, match="not a JSON object"):
        read_policy_facts(folder)


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(2, 9)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_golden_vectors_keep_every_bit(rows: np.ndarray) -> None:
    """-0 and subnormal numbers too."""
    facts = PolicyFacts(rows.shape[1] - 1, 1, rows.shape[1] - 1, 1, 0, 0, "0" * 64, "csr")
    golden = GoldenVectors(rows[:, 1:], rows[:, :1])
    said = json.loads(json.dumps({GOLDEN_VECTORS: golden.to_json()}))
    found = GoldenVectors.from_json(said, facts, Path(POLICY_JSON))
    assert found.observations.tobytes() == golden.observations.tobytes()
    assert found.actions.tobytes() == golden.actions.tobytes()


def test_more_golden_vectors_than_files_are_good_for(tmp_path: Path) -> None:
    write_onnx(random_graph((59, 4, 1)), tmp_path / "wide.onnx")
    config = ExportConfig(tmp_path / "wide.onnx", tmp_path / "out", vectors=100_000)
    with pytest.raises(UserError, match=f"vectors is 100000, .*at most {MOST_NUMBERS // 60}$"):
        export_policy(config)
    assert not (tmp_path / "out").exists()
