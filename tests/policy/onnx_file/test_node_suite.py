"""The backend node suite of the installed onnx: read and right, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sparsectl.export.c_writer import c_files
from sparsectl.export.encodings.registry import encode
from sparsectl.export.golden import golden_vectors
from sparsectl.export.host_c import run_c
from sparsectl.policy.passes import simplify
from tests.policy.onnx_file.node_suite.suite import PASSES, REFUSED, WRONG, Outcome, outcomes
from tests.tools import need

LEAST_PASSES = 450
EVERY = 60
"""Of those that pass, which are run as C too."""


@pytest.fixture(scope="module")
def suite() -> list[Outcome]:
    return list(outcomes(every_reading=False))


def test_none_is_read_and_wrong(suite: list[Outcome]) -> None:
    wrong = [(each.test, each.reason) for each in suite if each.kind == WRONG]
    assert wrong == []


def test_as_many_pass_as_did(suite: list[Outcome]) -> None:
    assert sum(each.kind == PASSES for each in suite) >= LEAST_PASSES


def test_every_refusal_gives_its_reason_in_a_line(suite: list[Outcome]) -> None:
    refused = [each for each in suite if each.kind == REFUSED]
    assert refused
    for each in refused:
        assert len(each.reason) > 20 and "\n" not in each.reason, each


def test_a_sample_of_those_that_pass_computes_the_same_in_c(
    suite: list[Outcome], tmp_path: Path
) -> None:
    need("gcc")
    passed = [each for each in suite if each.kind == PASSES][::EVERY]
    for each in passed:
        folder = tmp_path / each.test
        folder.mkdir()
        read, observations = each.graphs[0]
        policy = encode("auto", simplify(read), observations)
        for name, text in c_files(policy, golden_vectors(policy, observations), "test").items():
            (folder / name).write_text(text)
        found = run_c(folder, observations, policy.graph.action_size, folder)
        expected = policy.forward(observations)
        assert np.array_equal(found.view(np.uint32), expected.view(np.uint32)), each.test
