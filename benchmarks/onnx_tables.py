"""Tables of docs/onnx.md: what became of onnx's own node tests."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from sparsectl.common.files import read_json

RESULTS = Path(__file__).resolve().parent / "results"

_REASON_LENGTH = 200


def node_counts() -> list[str]:
    """How many tests pass, are refused, are wrong."""
    result = read_json(RESULTS / "onnx_nodes.json")
    kinds = [row["kind"] for row in result["tests"]]
    applicable = len(kinds) - kinds.count("not applicable")
    return [
        f"Of the {len(kinds)} node tests of onnx {result['onnx']}, {applicable} concern "
        f"operators that a policy on vectors can have. Of these, {kinds.count('passes')} pass, "
        f"{kinds.count('refused')} are refused with the reason below, and {kinds.count('WRONG')} "
        "give a wrong result.",
    ]


def node_refusals() -> list[str]:
    """A row for each kind of refusal: operators, how many tests, the reason."""
    rows = [row for row in _tests() if row["kind"] == "refused"]
    return [
        "| operators | tests | reason |",
        "| --- | --- | --- |",
        *(
            f"| {operators} | {len(tests)} | {reason} |"
            for (operators, reason), tests in _groups(rows, _short_reason).items()
        ),
    ]


def node_exclusions() -> list[str]:
    """A row for each reason why tests do not count."""
    rows = [row for row in _tests() if row["kind"] == "not applicable"]
    tests: dict[str, int] = defaultdict(int)
    for row in rows:
        tests[row["reason"]] += 1
    return [
        "| not of a policy of vectors | tests |",
        "| --- | --- |",
        *(f"| {reason} | {count} |" for reason, count in sorted(tests.items())),
    ]


def _tests() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_json(RESULTS / "onnx_nodes.json")["tests"]
    return rows


def _groups(rows: list[dict[str, Any]], reason: Any) -> dict[tuple[str, str], list[str]]:
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        groups[(_written_out(row), reason(row["reason"]))].append(row["test"])
    return dict(sorted(groups.items()))


def _written_out(row: dict[str, Any]) -> str:
    """A test that writes an operator out in others is named after that operator."""
    name, *expanded = row["test"].removeprefix("test_").split("_expanded")
    if not expanded or "," not in row["operators"]:
        return str(row["operators"])
    return f"{name.split('_example')[0].split('_')[0]} written out"


def _short_reason(text: str) -> str:
    """Without the node's own name and what follows every refusal."""
    text = re.sub(r"^node .*? \((\w+(?:\.\w+)*)\) cannot be exported: ", r"\1: ", text)
    text = re.sub(r"; give a plain MLP.*", "", text)
    text = re.sub(r"'[^']*'", "…", text) if len(text) > _REASON_LENGTH else text
    text = text.replace("|", "\\|")
    return text if len(text) <= _REASON_LENGTH else text[: _REASON_LENGTH - 1] + "…"
