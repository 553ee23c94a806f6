"""The replay buffer of Stable-Baselines3 and SBX as tensors for a checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

COLUMNS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def replay_state(buffer: Any) -> dict[str, Tensor]:
    """Return the filled part as replay/COLUMN [steps, environments, …], without copies."""
    rows = buffer.size()
    tensors = {f"replay/{name}": torch.from_numpy(getattr(buffer, name)[:rows]) for name in COLUMNS}
    return tensors | {"replay/position": torch.tensor([buffer.pos, int(buffer.full)])}


def load_replay(buffer: Any, tensors: dict[str, Tensor]) -> None:
    """Fill a fresh buffer of the same size."""
    if "replay/position" not in tensors:
        return
    for name in COLUMNS:
        rows = tensors[f"replay/{name}"].numpy()
        getattr(buffer, name)[: len(rows)] = rows
    buffer.pos, full = tensors["replay/position"].tolist()
    buffer.full = bool(full)
