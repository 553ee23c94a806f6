"""Reduce a recurrent source's tick to the values of its state that an action depends on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.export.source.source import Normaliser, Source
from sparsectl.policy.activations import Float32, Float64


class LiveState:
    """A source whose tick takes and returns only the live values of the state of `source`. The
    others stay as they are after a reset, which changes no action."""

    def __init__(
        self,
        source: Source,
        sizes: tuple[int, int],
        live: NDArray[np.intp],
        reset_state: NDArray[np.float32],
    ) -> None:
        """sizes: of the observation and of the action; live: the places of the live values in
        reset_state, the whole state after a reset."""
        self._source, (self._observed, self._acted) = source, sizes
        self._live, self._start = live, reset_state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    @property
    def normaliser(self) -> Normaliser | None:
        """Return the normaliser of the observation alone, without the state."""
        found = self._source.normaliser
        if found is None:
            return None
        return Normaliser(found.offset[: self._observed], found.scale[: self._observed])

    def run(self, rows: Float32) -> Float32:
        return self._made(self._source.run(self._given(rows)))

    def exact(self, rows: NDArray[Any]) -> Float64:
        return self._made(self._source.exact(self._given(rows)))

    def rounding(self, rows: Float32) -> Float64:
        return self._made(self._source.rounding(self._given(rows)))

    def margins(self, rows: Float32) -> Float64:
        return self._source.margins(self._given(rows))

    def _given(self, rows: NDArray[Any]) -> NDArray[Any]:
        state = np.repeat(self._start[None], len(rows), axis=0).astype(rows.dtype)
        state[:, self._live] = rows[:, self._observed :]
        return np.concatenate([rows[:, : self._observed], state], axis=1)

    def _made(self, results: NDArray[Any]) -> NDArray[Any]:
        state = results[:, self._acted :][:, self._live]
        return np.concatenate([results[:, : self._acted], state], axis=1)
