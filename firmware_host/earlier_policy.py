"""Read a policy's folder without golden vectors in its policy.json, from an earlier release or made
by hand: facts and golden vectors come from the text of its C."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.activations import Float32
from sparsectl.policy.folder import GoldenVectors, PolicyFacts

_MAX_HEADER_BYTES: Final = 1 << 20
_MAX_VECTORS_BYTES: Final = 64 << 20
_STATE_SIZE: Final = "POLICY_STATE_SIZE"
_SEQUENCE: Final = "POLICY_VECTOR_SEQUENCE"
_NUMBER: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F.]+[pP][-+]?\d+|\d+\.?\d*(?:[eE][-+]?\d+)?)")


def facts_of_header(path: Path) -> PolicyFacts:
    """Return the facts in the macros of the policy.h at `path`.

    Raises:
        UserError: the header is not one that `export` wrote.
    """
    if path.stat().st_size > _MAX_HEADER_BYTES:
        raise UserError(f"{path} is too large for a policy's header; export the policy again")
    text = path.read_text(encoding="utf-8", errors="replace")
    digest = _text(text, "POLICY_DIGEST")
    if digest is None or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise UserError(f"{path}: POLICY_DIGEST is {digest!r}, not 64 hex digits; export it again")
    return PolicyFacts(
        observation_size=_integer(text, "POLICY_OBSERVATION_SIZE", path, least=1),
        action_size=_integer(text, "POLICY_ACTION_SIZE", path, least=1),
        signals=_integer(text, "POLICY_SIGNALS", path, least=1),
        frames=_integer(text, "POLICY_FRAMES", path, least=1),
        period_us=_integer(text, "POLICY_PERIOD_US", path, least=0),
        kept_weights=_integer(text, "POLICY_KEPT_WEIGHTS", path, least=0),
        digest=digest.lower(),
        encoding=_encoding(text),
        state_size=_integer(text, _STATE_SIZE, path, least=1) if _STATE_SIZE in text else 0,
    )


def vectors_of_header(path: Path, facts: PolicyFacts) -> GoldenVectors:
    """Return the golden vectors in the tables of the policy_vectors.h at `path`.

    Raises:
        UserError: the file is missing, or is not one that `export` wrote for this policy.
    """
    if not path.is_file() or path.stat().st_size > _MAX_VECTORS_BYTES:
        raise UserError(f"{path} is missing or too large; export the policy again")
    text = path.read_text(encoding="utf-8", errors="replace")
    observations = _table(text, "policy_vector_observation", facts.observation_size)
    actions = _table(text, "policy_vector_action", facts.action_size)
    if observations is None or actions is None or len(observations) != len(actions):
        raise UserError(f"{path} holds no golden vectors of this policy; export it again")
    if not facts.state_size:
        return GoldenVectors(observations, actions)
    return GoldenVectors(observations, actions, _integer(text, _SEQUENCE, path, least=1))


def _integer(text: str, name: str, path: Path, least: int) -> int:
    match = re.search(rf"^[ \t]*#define[ \t]+{name}[ \t]+\(?(\d{{1,10}})[uUlL]*\)?", text, re.M)
    if match is None:
        raise UserError(f"{path} does not define {name}; export the policy again")
    if int(match.group(1)) < least:
        raise UserError(f"{path}: {name} is {match.group(1)}; export the policy again")
    return int(match.group(1))


def _encoding(text: str) -> str | None:
    """Return the encoding in the file's provenance header: `* encoding     csr: ...`."""
    match = re.search(r"^ \*[ \t]+encoding[ \t]+([\w-]+)", text, re.M)
    return match.group(1) if match else None


def _text(text: str, name: str) -> str | None:
    match = re.search(rf'^[ \t]*#define[ \t]+{name}[ \t\\\n]+"([^"\n]*)"', text, re.M)
    return match.group(1) if match else None


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
