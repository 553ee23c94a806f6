"""Read the folder of an exported policy: what a build and a measurement have to know about it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.firmware_host.earlier_policy import facts_of_header, vectors_of_header
from sparsectl.policy.folder import (
    GOLDEN_VECTORS,
    POLICY_JSON,
    GoldenVectors,
    PolicyFacts,
    check_unchanged,
    read_policy_json,
)

HEADER: Final = "policy.h"
VECTORS: Final = "policy_vectors.h"
FILES: Final = (HEADER, "policy.c", VECTORS)


def read_policy_facts(policy: Path) -> PolicyFacts:
    """Return the facts that the folder `policy` states about its policy.

    Raises:
        UserError: the folder lacks a file, or it is not as `export` wrote it.
    """
    for name in FILES:
        if not (policy / name).is_file():
            raise UserError(
                f"{policy} has no {name}; give the folder that `sparsectl export` wrote, as plain "
                "files and without --prefix"
            )
    said = read_policy_json(policy)
    if said is None or GOLDEN_VECTORS not in said:
        warn(
            f"{policy} has no policy.json with golden vectors, as `sparsectl export` writes it; "
            "export the policy again: the next release will refuse this folder"
        )
        return facts_of_header(policy / HEADER)
    check_unchanged(policy, HEADER, said)
    return PolicyFacts.from_json(said, policy / POLICY_JSON)


def sequence_flags(length: int | None) -> tuple[str, ...]:
    """Return the flags that tell a bench program to reset the policy's state after each `length`
    calls (`sequence_length`); none for None, which is a policy without a state."""
    return () if length is None else (f"-DBENCH_SEQUENCE={length}u",)


def sequence_length(policy: Path) -> int | None:
    """Return how many golden vectors of the policy in the folder `policy` follow one another from
    each reset of its state; None if it keeps none.

    Raises:
        UserError: as `read_golden_vectors`.
    """
    if not read_policy_facts(policy).state_size:
        return None
    return read_golden_vectors(policy).sequence_length


def read_golden_vectors(policy: Path) -> GoldenVectors:
    """Return the golden vectors of the policy in the folder `policy`.

    Raises:
        UserError: what `read_policy_facts` raises; the vectors are missing or of another policy.
    """
    facts = read_policy_facts(policy)
    said = read_policy_json(policy)
    if said is None or GOLDEN_VECTORS not in said:
        return vectors_of_header(policy / VECTORS, facts)
    check_unchanged(policy, VECTORS, said)
    return GoldenVectors.from_json(said, facts, policy / POLICY_JSON)
