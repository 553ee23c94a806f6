"""The judges can fail: C that is wrong on purpose, and a reading that is, are reported as such by
`export` itself and by the judge of the random graphs."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.export import pipeline
from sparsectl.export.config import ExportConfig
from sparsectl.export.host_c import run_c
from sparsectl.export.verify import Judged
from sparsectl.policy.graph import PolicyGraph
from tests.export.differential import judge
from tests.export.differential.judge import EXPORTED, WRONG, Act, Exported, compare
from tests.export.differential.random_files import RandomFile, model_of
from tests.export.differential.together import judge_together
from tests.tools import need

Spoil = Callable[[str], str]


def file_of(seed: int) -> RandomFile:
    """A normaliser, a layer of ReLU, a layer, and a limit that it often reaches."""
    made = np.random.default_rng(seed)
    centre, spread = np.array([50.0, -2.0]), np.array([10.0, 0.5])
    file = RandomFile(random.Random(seed), centre, spread, is_normalised=True)
    moved = file.add("Sub", "observation", file.constant(centre))
    value = file.add("Div", moved, file.constant(spread))
    for rows, columns in ((2, 8), (8, 1)):
        weight = file.constant(made.normal(size=(rows, columns)) / np.sqrt(rows))
        value = file.add("MatMul", value, weight)
        value = file.add("Add", value, file.constant(made.normal(size=columns) * 0.3))
        value = file.add("Relu", value) if columns > 1 else value
    limits = [file.constant(np.float32(limit)) for limit in (-0.5, 0.5)]
    file.add("Clip", value, *limits)
    file.nodes[-1].output[0] = "action"
    return file


def negated(text: str) -> str:
    """The first weight with the other sign."""
    return re.sub(r"(layer0_weight\[\d+\] \w+_FLASH = \{\s+)(-?)", _other_sign, text, count=1)


def _other_sign(found: re.Match[str]) -> str:
    return found[1] + ("" if found[2] else "-")


SPOILED: dict[str, tuple[str, Spoil]] = {
    "a weight's sign": ("csr", negated),
    "ReLU as LeakyReLU": (
        "csr",
        lambda text: text.replace("x < 0.0f ? 0.0f : x", "x < 0.0f ? 0.01f * x : x"),
    ),
    "a row one weight short": (
        "csr",
        lambda text: re.sub(r"(layer1_count\[1\] \w+_FLASH = \{\s+)8", r"\g<1>7", text),
    ),
    "a limit one bit off": ("csr", lambda text: text.replace("0x1p-1f)", "0x1.000002p-1f)")),
    "an input's cut-off one step off": (
        "packed-int16",
        lambda text: re.sub(
            r"(input_limit\[2\] \w+_FLASH = \{\s+)(\d+)",
            lambda m: f"{m[1]}{int(m[2]) - 1}",
            text,
        ),
    ),
    "a sum's shift one bit off": ("packed-int16", lambda text: text.replace(">>= 15", ">>= 14")),
}


def spoiling(spoil: Spoil) -> Any:
    """`export` writes the C as `spoil` leaves it."""
    true = pipeline.c_files

    def written(*given: Any, **named: Any) -> dict[str, str]:
        files = true(*given, **named)
        (name,) = (name for name in files if name.endswith(".c"))
        spoiled = spoil(files[name])
        assert spoiled != files[name]
        return files | {name: spoiled}

    return patch.object(pipeline, "c_files", written)


def test_nothing_is_said_of_right_c() -> None:
    need("gcc")
    for encoding in ("csr", "packed-int16"):
        with as_file_of(encoding):
            assert [each.kind for each in judge_together(range(2))] == [EXPORTED] * 2


def as_file_of(encoding: str) -> Any:
    return patch.multiple(judge, random_file=file_of, ENCODINGS=(encoding,))


@pytest.mark.parametrize("what", SPOILED)
def test_wrong_c_is_told_by_export_and_by_the_judge_of_random_graphs(
    what: str, tmp_path: Path
) -> None:
    need("gcc")
    encoding, spoil = SPOILED[what]
    model, out = tmp_path / "model.onnx", tmp_path / "policy"
    model.write_bytes(model_of(file_of(0)).SerializeToString())
    config = ExportConfig(model, out, encoding=encoding, observations=500, vectors=4)
    with spoiling(spoil):
        with pytest.raises(UserError, match="host C differs from the numpy reference"):
            pipeline.export_policy(config)
        assert not out.exists()
        with as_file_of(encoding):
            (verdict,) = judge_together(range(1))
    assert verdict.kind == WRONG and "host C differs" in verdict.said


def _other_activation(graph: PolicyGraph) -> PolicyGraph:
    first, *others = graph.layers
    return replace(graph, layers=(replace(first, activation="tanh"), *others))


def _other_weight(graph: PolicyGraph) -> PolicyGraph:
    first, *others = graph.layers
    weight = first.weight.copy()
    weight[0, 0] *= 1.001
    return replace(graph, layers=(replace(first, weight=weight), *others))


def _other_bias(graph: PolicyGraph) -> PolicyGraph:
    *others, last = graph.layers
    return replace(graph, layers=(*others, replace(last, bias=last.bias + np.float32(1e-4))))


MISREAD = {"activation": _other_activation, "weight": _other_weight, "bias": _other_bias}


@pytest.mark.parametrize("what", MISREAD)
def test_a_file_that_is_read_wrongly_is_told_by_both(what: str, tmp_path: Path) -> None:
    """Then the C is its reference bit for bit, and both are another function than the file."""
    need("gcc")
    true = pipeline.load
    with (
        patch.object(pipeline, "load", lambda *given: MISREAD[what](true(*given))),
        as_file_of("csr"),
    ):
        said = judge.export(0, tmp_path)
        assert isinstance(said, judge.Verdict) and "was not read as it stands" in said.said
        with (
            patch.object(pipeline.Proof, "check_translation"),
            patch.object(pipeline.Proof, "_judge", lambda *given, **named: Judged(0.0, 0.0, 0.0)),
        ):
            found = judge.export(0, tmp_path)
    assert isinstance(found, judge.Exported), found
    verdict = judge.compare(found, lambda x, actions: run_c(found.out, x, actions, found.out))
    assert verdict.kind == WRONG and "where onnxruntime gives" in verdict.said


ROUNDED_INSIDE = (7843, 8820)
"""Seeds whose sums cancel: float32 is off by more than moving the observations shows, in
onnxruntime as much as in the C."""
OVERFLOWING = 3402
"""At 1e11 times its spread a value inside is infinite, and so is one of the two actions."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Exported]:
    need("gcc")
    found = {}
    for seed in (*ROUNDED_INSIDE, OVERFLOWING):
        said = judge.export(seed, tmp_path_factory.mktemp("graph"))
        assert isinstance(said, Exported), said
        found[seed] = said
    return found


def running(exported: Exported) -> Act:
    return lambda given, actions: run_c(exported.out, given, actions, exported.out)


def test_what_float32_rounds_inside_and_what_overflows_inside_is_not_called_wrong(
    exported: dict[int, Exported],
) -> None:
    for each in exported.values():
        assert compare(each, running(each)).said == ""


@pytest.mark.parametrize("seed", ROUNDED_INSIDE)
def test_a_thousandth_and_nan_are_told_where_float32_rounds_inside(
    seed: int, exported: dict[int, Exported]
) -> None:
    each = exported[seed]
    true = running(each)

    def a_thousandth_off(given: Any, actions: int) -> Any:
        return true(given, actions) * np.float32(1.001)

    def nan_at_the_furthest(given: Any, actions: int) -> Any:
        found = true(given, actions)
        found[np.argmax(np.abs(given).max(axis=1))] = np.nan
        return found

    assert compare(each, a_thousandth_off).kind == WRONG
    assert "is nan where" in compare(each, nan_at_the_furthest).said


def test_nan_is_told_wherever_nothing_inside_overflows(exported: dict[int, Exported]) -> None:
    each = exported[OVERFLOWING]
    true = running(each)

    def nan_where_finite(given: Any, actions: int) -> Any:
        found = true(given, actions)
        finite = np.flatnonzero(np.isfinite(found).all(axis=1))
        found[finite[np.argmax(np.abs(given[finite]).max(axis=1))]] = np.nan
        return found

    assert "is nan where" in compare(each, nan_where_finite).said
