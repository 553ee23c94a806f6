from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.common.typed_json import from_json


@dataclass(frozen=True)
class Part:
    name: str
    weight: float = 1.0


@dataclass(frozen=True)
class Whole:
    count: int
    mode: Literal["host", "pil"]
    parts: tuple[Part, ...]
    sums: dict[str, str] | None
    limit: int | str = 3
    seen: bool = False
    anything: Any = None
    extra: tuple[float, ...] = field(default_factory=tuple)


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
PARTS = st.builds(Part, st.text(max_size=5), FLOATS)
WHOLES = st.builds(
    Whole,
    st.integers(),
    st.sampled_from(("host", "pil")),
    st.lists(PARTS, max_size=3).map(tuple),
    st.none() | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    st.integers() | st.text(max_size=3),
    st.booleans(),
    st.none() | st.integers(),
    st.lists(FLOATS, max_size=3).map(tuple),
)


def read(said: object) -> Whole:
    whole: Whole = from_json(Whole, said, "file", "write it again")
    return whole


@given(WHOLES)
def test_what_was_written_is_read(whole: Whole) -> None:
    said = json.loads(json.dumps(asdict(whole)))
    assert read(said | {"of a later release": 1}) == whole


GOOD: dict[str, Any] = {"count": 1, "mode": "pil", "parts": [{"name": "a"}], "sums": None}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"count": 1.5}, r"file\.count is 1\.5; write it again"),
        ({"count": True}, r"file\.count is True"),
        ({"mode": "device"}, r"file\.mode is 'device'"),
        ({"parts": {"name": "a"}}, r"file\.parts is \{'name': 'a'\}"),
        ({"parts": [{"name": "a"}, {}]}, r"file\.parts\[1\] has no 'name'; write it again"),
        ({"parts": [{"name": "a", "weight": "1"}]}, r"file\.parts\[0\]\.weight is '1'"),
        ({"sums": {"a": 1}}, r"file\.sums\.a is 1"),
        ({"limit": None}, r"file\.limit is None"),
        ({"seen": 1}, r"file\.seen is 1"),
        ({"count": "9" * 100}, r"file\.count is '9{50,58}\.\.\.; write"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read(GOOD | change)


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(UserError, match=r"file is \[\], not a JSON object; write it again"):
        read([])
