"""Find the folder of a trial's policy by the digest in the journal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sparsectl.hil.journal.journal import Journal
from sparsectl.policy.load import POLICY_ONNX
from sparsectl.policy.onnx_file.reader import read_onnx


def recorded_place(journal: Journal) -> Path:
    """Return the policy's folder that the trial was given."""
    return journal.header.config.policy


def places_beside(folder: Path) -> list[Path]:
    """Return the places where a run keeps its policy, relative to the folder of its journal or
    summary."""
    return [folder / "policy", folder.parent / "policy"]


def first_with_digest(
    places: Iterable[Path], digest: str | None
) -> tuple[Path | None, dict[Path, str]]:
    """Return the first place whose policy has this digest, or any policy if `digest` is None.

    Returns:
        tuple: the place, None if there is none; and the digests of the places that were examined.

    Raises:
        UserError: a policy.onnx that cannot be read.
    """
    seen: dict[Path, str] = {}
    for place in places:
        if (place / POLICY_ONNX).is_file():
            seen[place] = read_onnx(place / POLICY_ONNX).digest
            if digest in (None, seen[place]):
                return place, seen
    return None, seen
