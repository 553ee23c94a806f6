"""Where the policy of a trial is: the folder that holds the one whose digest the journal has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sparsectl.hil.journal.journal import Journal
from sparsectl.policy.load import POLICY_ONNX
from sparsectl.policy.onnx_file.reader import read_onnx


def recorded_place(journal: Journal) -> Path:
    """The folder that the trial was given."""
    return journal.header.config.policy


def places_beside(folder: Path) -> list[Path]:
    """Where a run keeps its policy, seen from the folder of its journal or of its summary."""
    return [folder / "policy", folder.parent / "policy"]


def first_with_digest(
    places: Iterable[Path], digest: str | None
) -> tuple[Path | None, dict[Path, str]]:
    """The first place whose policy has this digest, or that has any, where that is None.

    Returns:
        tuple: the place, None where there is none; and the digests of those that were looked at.

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
