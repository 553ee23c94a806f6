"""Minibatches of a dataset that lives on the training device, normalised once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from training.dataset import Dataset
from training.networks import Array
from training.signals import normaliser


class Batch(NamedTuple):
    """Normalised rows: state_action [B, n + m], labels [B, m], next_observations [B, n], …"""

    observations: Tensor
    state_action: Tensor
    labels: Tensor
    next_observations: Tensor
    rewards: Tensor
    goes_on: Tensor
    """1 where the next state is worth something, 0 behind a termination."""


class Batches:
    """All transitions as rows of one table, so that a minibatch is one gather.

    Raises:
        UserError: there are fewer transitions than a minibatch has.
    """

    def __init__(
        self, dataset: Dataset, signals: dict[str, Any], batch_size: int, device: torch.device
    ) -> None:
        if len(dataset) < batch_size:
            raise UserError(
                f"the dataset has {len(dataset)} transitions, a batch {batch_size}; "
                "collect more or give a smaller batch size"
            )
        self.batch_size = batch_size
        self.observation_size = dataset.observations.shape[1]
        self.action_size = dataset.actions.shape[1]
        self._signals = signals
        self._device = device
        self._table = self._rows(dataset)

    def __len__(self) -> int:
        return len(self._table)

    def extend(self, dataset: Dataset) -> None:
        """Add transitions."""
        self._table = torch.cat([self._table, self._rows(dataset)])

    def sample(self, random: torch.Generator) -> Batch:
        """A minibatch, drawn with replacement."""
        size = (self.batch_size,)
        rows = torch.randint(len(self._table), size, generator=random, device=self._device)
        table = self._table.index_select(0, rows)
        n, m = self.observation_size, self.action_size
        labels = n + m
        after = labels + m
        return Batch(
            observations=table[:, :n],
            state_action=table[:, :labels],
            labels=table[:, labels:after],
            next_observations=table[:, after : after + n],
            rewards=table[:, after + n],
            goes_on=table[:, after + n + 1],
        )

    def _rows(self, dataset: Dataset) -> Tensor:
        offset, scale, action_offset, action_scale, *_ = normaliser(self._signals)

        def observations(values: Array) -> Array:
            return (values - offset) / scale

        def actions(values: Array) -> Array:
            return (values - action_offset) / action_scale

        columns = [
            observations(dataset.observations),
            actions(dataset.actions),
            actions(dataset.teacher_actions),
            observations(dataset.next_observations),
            dataset.rewards[:, None],
            1 - dataset.terminations[:, None].astype(np.float32),
        ]
        return torch.from_numpy(np.concatenate(columns, axis=1, dtype=np.float32)).to(self._device)
