"""Determine which duty a policy chose in each tick, for rigs with a discrete action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NONE = -1
"""Stands for the index of a choice if the policy asked for none of the duties."""


def choices(policy_output: NDArray[np.float64], duties: Sequence[float]) -> NDArray[np.int64]:
    """Return the index of the duty that the policy asked for in each tick, [ticks]; `NONE` if it
    asked for none of them.

    A board has its duties as float32, and no two of them are the same, so the index is exact.
    """
    known = np.asarray(duties, np.float32)
    same = policy_output.astype(np.float32)[:, None] == known[None, :]
    return np.where(same.any(axis=1), same.argmax(axis=1), NONE).astype(np.int64)


def summarise_choices(
    policy_output: NDArray[np.float64], duties: Sequence[float], period_s: float
) -> dict[str, Any] | None:
    """Summarise the choices of these ticks.

    Args:
        policy_output: outputs of consecutive control ticks, `period_s` apart.
        duties: those of the rig; empty: any duty may be asked for.
        period_s: the control period.

    Returns:
        `duties`, `shares` (of the ticks, for each duty) and `changes_per_second` (how often another
        duty was chosen than in the tick before); None where there is nothing to choose.
    """
    if not duties or not policy_output.size:
        return None
    chosen = choices(policy_output, duties)
    changes = int(np.count_nonzero(np.diff(chosen)))
    return {
        "duties": list(duties),
        "shares": [float(np.mean(chosen == index)) for index in range(len(duties))],
        "changes_per_second": changes / (len(chosen) * period_s),
    }
