"""Reads ``policy_vectors.h``: observations and the actions that every core must give for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.cores.core import Float32
from sparsectl.firmware_host.policy_header import PolicyHeader

FILE: Final = "policy_vectors.h"
_MAX_BYTES: Final = 64 << 20
_NUMBER: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F.]+[pP][-+]?\d+|\d+\.?\d*(?:[eE][-+]?\d+)?)")


@dataclass(frozen=True)
class GoldenVectors:
    """Observations [count, observation_size] and actions [count, action_size]."""

    observations: Float32
    actions: Float32


def read_golden_vectors(policy: Path, header: PolicyHeader) -> GoldenVectors:
    """The golden vectors of an exported policy's folder.

    Raises:
        UserError: the file is missing, or is not one that `export` wrote for this header.
    """
    path = policy / FILE
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        raise UserError(f"{path} is missing or too large; export the policy again")
    text = path.read_text(encoding="utf-8", errors="replace")
    observations = _table(text, "policy_vector_observation", header.observation_size)
    actions = _table(text, "policy_vector_action", header.action_size)
    if observations is None or actions is None or len(observations) != len(actions):
        raise UserError(f"{path} holds no golden vectors of this policy; export it again")
    return GoldenVectors(observations, actions)


def _table(text: str, name: str, width: int) -> Float32 | None:
    found = re.search(name + r"\s*\[[^\]]*\]\s*\[[^\]]*\][^={;]*=\s*\{(.*?)\};", text, re.DOTALL)
    if found is None:
        return None
    numbers = [_value(word) for word in _NUMBER.findall(found.group(1))]
    if not numbers or len(numbers) % width:
        return None
    return np.array(numbers, np.float32).reshape(-1, width)


def _value(word: str) -> float:
    return float.fromhex(word) if "x" in word.lower() else float(word)
