"""onnx's backend node suite, from the installed package, through this project's reader."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase

from sparsectl.common.errors import UserError
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.onnx_file.reader import read_onnx
from tests.policy.onnx_file.node_suite.applicable import why_not_applicable
from tests.policy.onnx_file.node_suite.readings import Reading, readings

PASSES, REFUSED, WRONG, NOT_APPLICABLE = "passes", "refused", "WRONG", "not applicable"

RELATIVE, ABSOLUTE = 1e-3, 1e-6
"""Of the comparison: the suite's own share, and what float32 rounds near 0."""
HALF_RELATIVE = 5e-3
"""Where the test computes in float16, and this project in float32."""


@dataclass(frozen=True)
class Outcome:
    """What became of one test."""

    test: str
    operators: str
    kind: str
    reason: str = ""
    """Of a refusal, of a wrong one, or why it is not applicable; of a pass, the way it was read."""
    graphs: tuple[tuple[PolicyGraph, np.ndarray], ...] = ()
    """Of a pass, what was read and the observations, an output each."""


def outcomes(*, every_reading: bool = True) -> Iterator[Outcome]:
    """One for each test of the suite.

    every_reading: also after one of a test's readings has passed; else the rest is left out.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite's own arithmetic
        cases = [case for case in collect_testcases(None) if case.kind == "node"]
    operators = {case.name: {node.op_type for node in case.model.graph.node} for case in cases}
    with tempfile.TemporaryDirectory(prefix="sparsectl-nodes-") as name:
        for case in cases:
            shown = ", ".join(sorted(operators[case.name]))
            reason = why_not_applicable(case, operators)
            if reason:
                yield Outcome(case.name, shown, NOT_APPLICABLE, reason)
            else:
                yield _outcome(case, shown, Path(name) / "model.onnx", every_reading)


def _outcome(case: TestCase, operators: str, path: Path, every_reading: bool) -> Outcome:
    """Wrong where any reading is; else passes where, for each output, any does."""
    found: list[tuple[PolicyGraph, np.ndarray]] = []
    passed, refused = [], []
    for output in range(len(case.model.graph.output)):
        tried = []
        for reading in readings(case, output):
            tried.append((reading, _tried(reading, case, path)))
            if tried[-1][1][0] == PASSES and not every_reading:
                break
        if not tried:
            return Outcome(case.name, operators, NOT_APPLICABLE, "an output is a constant")
        for reading, (kind, said, _) in tried:
            if kind == WRONG:
                return Outcome(case.name, operators, WRONG, f"{reading.name}: {said}")
        passes = [(reading, read) for reading, (kind, _, read) in tried if kind == PASSES]
        if not passes:
            refused.append(_nearest([said for _, (_, said, _) in tried], case))
            continue
        reading, read = passes[0]
        assert read is not None
        found.append(read)
        passed.append(reading.name)
    if refused:
        return Outcome(case.name, operators, REFUSED, refused[0])
    return Outcome(case.name, operators, PASSES, passed[0], tuple(found))


def _nearest(reasons: list[str], case: TestCase) -> str:
    """The reason that is of the test's own operators, not of what a reading puts around them."""
    own = {node.op_type for node in case.model.graph.node}
    named = [text for text in reasons if any(f"({name})" in text for name in own)]
    return (named or reasons)[-1]


def _tried(
    reading: Reading, case: TestCase, path: Path
) -> tuple[str, str, tuple[PolicyGraph, np.ndarray] | None]:
    path.write_bytes(reading.model.SerializeToString())
    try:
        graph = read_onnx(path)
        observations = reading.observations(graph.observation_size)
        if observations is None:
            return WRONG, f"it takes {graph.observation_size} numbers, the test has others", None
        actions = graph.forward(observations)
    except UserError as error:
        return REFUSED, str(error).replace(f"{path}: ", ""), None
    expected = reading.expected.astype(np.float64)
    if actions.size != expected.size:
        return WRONG, f"{actions.size} numbers where onnx has {expected.size}", None
    half = any(value.dtype == np.float16 for value in (*reading.observed, reading.expected))
    relative = max(HALF_RELATIVE if half else RELATIVE, case.rtol)
    given = actions.astype(np.float64).reshape(expected.shape)
    if not np.allclose(given, expected, rtol=relative, atol=ABSOLUTE, equal_nan=True):
        with np.errstate(invalid="ignore"):
            worst = np.nanmax(np.abs(given - expected))
        return WRONG, f"an action is {worst:.3g} off", None
    return PASSES, "", (graph, observations)
