"""The parts that several exports of one model share: it is read once, and run once on the same
rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sparsectl.export.source.source import Source
from sparsectl.policy.activations import Float32, Float64

T = TypeVar("T")


class Shared:
    """Results by what they were made of, for exports of a model that differ in their encoding, in
    the number of observations or in what they write.

    Nothing in it is a judgement: each export judges its own encoding, its own policy.onnx and its
    own C.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` returns, or what it returned when the key was last given."""
        if key not in self._known:
            self._known[key] = make()
        known: T = self._known[key]
        return known


class RememberedSource:
    """A `Source` whose results for rows that it has been given before are kept."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._results: dict[tuple[str, bytes], NDArray[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def run(self, observations: Float32) -> Float32:
        return self._of("run", self._source.run, observations)

    def exact(self, observations: NDArray[Any]) -> Float64:
        return self._of("exact", self._source.exact, observations)

    def rounding(self, observations: Float32) -> Float64:
        return self._of("rounding", self._source.rounding, observations)

    def margins(self, observations: Float32) -> Float64:
        return self._of("margins", self._source.margins, observations)

    def _of(
        self, name: str, function: Callable[[Any], NDArray[Any]], rows: NDArray[Any]
    ) -> NDArray[Any]:
        given = np.ascontiguousarray(rows)
        says = f"{name} {given.dtype.str} {given.shape} "
        key = (name, hashlib.sha256(says.encode() + given.tobytes()).digest())
        if key not in self._results:
            self._results[key] = function(rows)
        return self._results[key].copy()
