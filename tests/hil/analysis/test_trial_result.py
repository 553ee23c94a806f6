"""A trial's result as JSON and back; what another version wrote is no result."""

from __future__ import annotations

import json
from dataclasses import fields
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest

from sparsectl.hil.analysis.trial_result import Disturbance, TrialResult
from sparsectl.hil.timing.percentiles import Percentiles

SAMPLES: dict[Any, Any] = {
    bool: True,
    float: 0.5,
    str: "word",
    Percentiles: {"p50": 1.0, "p99": 2.0, "max": 3.0},
    dict[str, Any]: {"exchanges": 7},
    dict[str, int]: {"ticks": 100},
    tuple[Disturbance, ...]: (
        Disturbance(1.0, 0.5, 0.2, None),
        Disturbance(2.0, -0.5, None, None),
    ),
}


def result(of_optional: int) -> TrialResult:
    """Some value for every field, by its type; of one that may be missing the value (0) or None."""
    values: dict[str, Any] = {}
    for number, (name, hint) in enumerate(get_type_hints(TrialResult).items()):
        kind = get_args(hint)[of_optional] if NoneType in get_args(hint) else hint
        samples = {int: number, NoneType: None, **SAMPLES}
        values[name] = samples[kind]
    return TrialResult(**values)


RESULT = result(0)


@pytest.mark.parametrize("of_optional", [0, 1])
def test_through_json_and_back(of_optional: int) -> None:
    given = result(of_optional)
    kept = json.loads(json.dumps(given.to_json() | {"journal": "j", "report": None}))
    assert TrialResult.from_json(kept) == given
    assert kept["deadline_misses"] == given.skipped + given.late_ticks  # its former name


@pytest.mark.parametrize("name", [field.name for field in fields(TrialResult)])
def test_a_figure_that_is_missing_makes_it_none(name: str) -> None:
    kept = RESULT.to_json()
    del kept[name]
    assert TrialResult.from_json(kept) is None


@pytest.mark.parametrize("kept", [None, [], "trial", {}, RESULT.to_json() | {"disturbances": [1]}])
def test_what_is_no_result(kept: object) -> None:
    assert TrialResult.from_json(kept) is None
