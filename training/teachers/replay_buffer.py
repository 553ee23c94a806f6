"""The replay buffer of Stable-Baselines3 and SBX as tensors for a checkpoint.

Observations of whole numbers, such as MinAtar's images of 0 and 1, take a byte or a bit in the
checkpoint in place of the four bytes that they have in memory; what is read back is the same, bit
by bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

OBSERVED = ("observations", "next_observations")
COLUMNS = (*OBSERVED, "actions", "rewards", "dones", "timeouts")
BITS = ".bits"
"""Ends the name of a column of 0 and 1, [steps, bytes], each step's bits padded to whole bytes."""
BLOCK = 1_024
"""Steps that are looked at together, so that packing takes little memory beside its result."""


def replay_state(buffer: Any) -> dict[str, Tensor]:
    """Return the filled part as replay/COLUMN [steps, environments, …]: observations packed where
    the values permit it, everything else without copies."""
    rows, tensors = buffer.size(), {}
    for name in COLUMNS:
        values = getattr(buffer, name)[:rows]
        small = as_bytes(values) if name in OBSERVED else None
        if small is not None and small.max(initial=0) <= 1:
            of_step = small.reshape(rows, math.prod(small.shape[1:]))
            tensors[f"replay/{name}{BITS}"] = np.packbits(of_step, axis=1)
        else:
            tensors[f"replay/{name}"] = values if small is None else small
    state = {name: torch.from_numpy(values) for name, values in tensors.items()}
    return state | {"replay/position": torch.tensor([buffer.pos, int(buffer.full)])}


def as_bytes(values: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Return the values as bytes, of the same shape; None if that would change one of them: they
    are not whole numbers from 0 to 255, or a zero has a sign."""
    if values.dtype == np.uint8:
        return values
    found = np.empty(values.shape, np.uint8)
    for first in range(0, len(values), BLOCK):
        block = values[first : first + BLOCK]
        with np.errstate(invalid="ignore"):  # casts of NaN, and of what is too large
            small = block.astype(np.uint8)
        if np.signbit(block).any() or not np.array_equal(small, block):
            return None
        found[first : first + BLOCK] = small
    return found


def load_replay(buffer: Any, tensors: dict[str, Tensor]) -> None:
    """Fill a fresh buffer of the same size, also from a checkpoint that was not packed."""
    if "replay/position" not in tensors:
        return
    for name in COLUMNS:
        column = getattr(buffer, name)
        if (packed := tensors.get(f"replay/{name}{BITS}")) is not None:
            steps = column[: len(packed)]
            size = math.prod(steps.shape[1:])
            rows = np.unpackbits(packed.numpy(), axis=1, count=size).reshape(steps.shape)
        else:
            rows = tensors[f"replay/{name}"].numpy()
        column[: len(rows)] = rows
    buffer.pos, full = tensors["replay/position"].tolist()
    buffer.full = bool(full)
