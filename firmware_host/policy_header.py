"""Reads ``policy.h``: what the exported policy says of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sparsectl.common.errors import UserError

FILES: Final = ("policy.h", "policy.c", "policy_vectors.h")
_MAX_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class PolicyHeader:
    """The macros of ``policy.h``."""

    observation_size: int
    action_size: int
    signals: int
    """Values a frame."""
    frames: int
    period_us: int
    """Control period that the policy was trained at; 0: it does not say."""
    kept_weights: int
    digest: str
    """SHA-256 of the policy's canonical bytes, 64 hex digits."""
    encoding: str | None
    """How the weights are stored; None when the header does not say."""


def read_policy_header(policy: Path) -> PolicyHeader:
    """Read ``policy.h`` of an exported policy's folder.

    Raises:
        UserError: the folder lacks a file, or the header is not one that `export` wrote.
    """
    for name in FILES:
        if not (policy / name).is_file():
            raise UserError(
                f"{policy} has no {name}; give the folder that `sparsectl export` wrote, as plain "
                "files and without --prefix"
            )
    path = policy / "policy.h"
    if path.stat().st_size > _MAX_HEADER_BYTES:
        raise UserError(f"{path} is too large for a policy's header; export the policy again")
    text = path.read_text(encoding="utf-8", errors="replace")
    digest = _text(text, "POLICY_DIGEST")
    if digest is None or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise UserError(f"{path}: POLICY_DIGEST is {digest!r}, not 64 hex digits; export it again")
    return PolicyHeader(
        observation_size=_number(text, "POLICY_OBSERVATION_SIZE", path, least=1),
        action_size=_number(text, "POLICY_ACTION_SIZE", path, least=1),
        signals=_number(text, "POLICY_SIGNALS", path, least=1),
        frames=_number(text, "POLICY_FRAMES", path, least=1),
        period_us=_number(text, "POLICY_PERIOD_US", path, least=0),
        kept_weights=_number(text, "POLICY_KEPT_WEIGHTS", path, least=0),
        digest=digest.lower(),
        encoding=_encoding(text),
    )


def _number(text: str, name: str, path: Path, least: int) -> int:
    match = re.search(rf"^[ \t]*#define[ \t]+{name}[ \t]+\(?(\d{{1,10}})[uUlL]*\)?", text, re.M)
    if match is None:
        raise UserError(f"{path} does not define {name}; export the policy again")
    if int(match.group(1)) < least:
        raise UserError(f"{path}: {name} is {match.group(1)}; export the policy again")
    return int(match.group(1))


def _encoding(text: str) -> str | None:
    """From the provenance at the head of the file: `* encoding     csr: ...`."""
    match = re.search(r"^ \*[ \t]+encoding[ \t]+([\w-]+)", text, re.M)
    return match.group(1) if match else None


def _text(text: str, name: str) -> str | None:
    match = re.search(rf'^[ \t]*#define[ \t]+{name}[ \t\\\n]+"([^"\n]*)"', text, re.M)
    return match.group(1) if match else None
