"""Draw minibatches from a dataset that is on the training device and was normalised once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sparsectl.common.errors import UserError
from sparsectl.common.memory import check_memory
from sparsectl.policy.acting.networks import Array
from sparsectl.policy.signals_json import normaliser
from sparsectl.training.data.dataset import TASK_ROWS, Dataset

BLOCK_ROWS = 1 << 14
"""Rows that are normalised at a time: whole copies of large datasets would not fit in memory."""


class Batch(NamedTuple):
    """Normalised rows: state_action [S, B, n + m], labels [S, B, m], rewards [S, B], …; if actions
    are choices, labels are the teacher's unscaled values, [S, B, choices]. Without successors the
    last three are empty."""

    observations: Tensor
    state_action: Tensor
    labels: Tensor
    next_observations: Tensor
    rewards: Tensor
    not_done: Tensor
    """0 after a termination, otherwise 1: whether the next state has a value."""


class Batches:
    """All transitions as rows of one table, so that the minibatches of S students are one gather.

    Rows are normalised by the signals or, with `physical`, in the environment's units. Critics
    need `successors`: what followed each observation, and the reward. Images are large, and whoever
    only imitates does without.

    Raises:
        UserError: there are fewer transitions than a minibatch needs, or more than fit in memory.
    """

    def __init__(
        self,
        dataset: Dataset,
        signals: dict[str, Any],
        batch_size: int,
        device: torch.device,
        *,
        physical: bool = False,
        successors: bool = True,
    ) -> None:
        if len(dataset) < batch_size:
            raise UserError(
                f"the dataset has {len(dataset)} transitions, fewer than a batch of {batch_size}; "
                "collect more or give a smaller batch size"
            )
        self.batch_size = batch_size
        self.observation_size = dataset.observations.shape[1]
        self.action_size = dataset.actions.shape[1]
        self.label_size = dataset.label_size
        self._signals = signals
        self._physical = physical
        self._successors = successors
        self._device = device
        self._table = self._rows(dataset)
        ends = np.cumsum([0, *dataset.metadata.get(TASK_ROWS, [])]).tolist()
        self._memories = list(zip(ends, ends[1:], strict=False))
        self._drawn = torch.empty(0, batch_size, dtype=torch.int64, device=device)

    def __len__(self) -> int:
        return len(self._table)

    def extend(self, dataset: Dataset) -> None:
        """Add transitions."""
        self._table = torch.cat([self._table, self._rows(dataset)])

    def clear(self) -> None:
        """Let go of all transitions, once no more minibatches are drawn."""
        self._table = self._table[:0].clone()

    def sample(self, generators: Sequence[torch.Generator], turn: int = 0) -> Batch:
        """Draw a minibatch for each generator's student, with replacement.

        If there are several tasks, a minibatch is from one: the first's in turn 0, the second's in
        turn 1 and so on, cyclically.
        """
        memories = self._memories or [(0, len(self._table))]
        first, end = memories[turn % len(memories)]
        if len(self._drawn) != len(generators):
            self._drawn = self._drawn.new_empty(len(generators), self.batch_size)
        for row, generator in zip(self._drawn, generators, strict=True):
            row.random_(first, end, generator=generator)
        table = self._table.index_select(0, self._drawn.view(-1))
        return self._batch(table.view(len(generators), self.batch_size, -1))

    def _batch(self, table: Tensor) -> Batch:
        n, m = self.observation_size, self.action_size
        labels = n + m
        after = labels + self.label_size
        followed = table[..., after:]
        return Batch(
            observations=table[..., :n],
            state_action=table[..., :labels],
            labels=table[..., labels:after],
            next_observations=followed[..., :n],
            rewards=followed[..., n] if self._successors else followed,
            not_done=followed[..., n + 1] if self._successors else followed,
        )

    def _rows(self, dataset: Dataset) -> Tensor:
        offset, scale, action_offset, action_scale, *_ = normaliser(self._signals)
        if self._physical:
            offset, scale = np.zeros_like(offset), np.ones_like(scale)
            action_offset, action_scale = np.zeros_like(action_offset), np.ones_like(action_scale)

        def observations(values: Array) -> Array:
            return (values - offset) / scale

        def actions(values: Array) -> Array:
            return (values - action_offset) / action_scale

        values = dataset.choice_values() if dataset.has_choices else None

        def columns(rows: slice) -> Iterator[Array]:
            yield observations(dataset.observations[rows])
            yield actions(dataset.actions[rows])
            yield actions(dataset.teacher_actions[rows]) if values is None else values[rows]
            if self._successors:
                yield observations(dataset.next_observations[rows])
                yield dataset.rewards[rows, None]
                yield 1 - dataset.terminations[rows, None].astype(np.float32)

        width = sum(column.shape[1] for column in columns(slice(0, 1)))
        check_memory(
            4 * len(dataset) * width,
            f"minibatches of {len(dataset):,} transitions with {width:,} numbers each",
            "collect fewer transitions",
        )
        table = np.empty((len(dataset), width), np.float32)
        for first in range(0, len(dataset), BLOCK_ROWS):
            rows = slice(first, first + BLOCK_ROWS)
            np.concatenate([*columns(rows)], axis=1, out=table[rows], casting="same_kind")
        return torch.from_numpy(table).to(self._device)
