"""Standard normal numbers for the noise of weights: pieces of a table, a tenth of the time.

Salimans, Ho, Chen, Sidor, Sutskever: "Evolution strategies as a scalable alternative to
reinforcement learning", 2017, section 2.1, take the noise of their networks from a table likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

TABLE = 2**22
"""Size of the table in numbers; it is larger where a draw would be a good part of it."""
DRAWS_IN_TABLE = 16


@cache
def normal_table(size: int, dtype: torch.dtype) -> Tensor:
    """Return so many independent standard normal numbers, the same ones each time."""
    return torch.randn(size, generator=torch.Generator().manual_seed(0)).to(dtype)


class Noise:
    """Standard normal numbers for every layer of S students, in buffers made once.

    On a CPU a draw is what stands in the table from a random place on. Within a draw the numbers
    are independent; two draws share some with a probability of 2 / `DRAWS_IN_TABLE` at most, then
    for other observations and neurons.

    Args:
        widths: numbers for an observation, a layer.
        students: S.
        rows: observations, B.
        dtype: of the numbers.
    """

    def __init__(
        self,
        widths: Sequence[int],
        students: int,
        rows: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        size = sum(widths) * rows
        self._all = torch.empty(students, size, device=device, dtype=dtype)
        self._table_size = max(TABLE, DRAWS_IN_TABLE * size)
        parts = self._all.split_with_sizes([width * rows for width in widths], 1)
        self.layers = [part.view(students, rows, -1) for part in parts]

    def draw(self, generators: Sequence[torch.Generator]) -> list[Tensor]:
        """Draw new numbers, [S, B, width] per layer; they are valid until the next call."""
        if self._all.device.type == "cpu":
            self._pick(generators)
            return self.layers
        for row, generator in zip(self._all, generators, strict=True):
            row.normal_(generator=generator)
        return self.layers

    def _pick(self, generators: Sequence[torch.Generator]) -> None:
        table, size = normal_table(self._table_size, self._all.dtype), self._all.shape[1]
        for row, generator in zip(self._all, generators, strict=True):
            start = int(torch.randint(len(table) - size + 1, (), generator=generator))
            row.copy_(table[start : start + size])
