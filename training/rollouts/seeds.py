"""Seeds of episodes: a series for each purpose, and no two series share an episode.

Episodes that selected a policy must not report it: the best of many owes part of its figures to
luck, which other episodes do not repeat. So every purpose has its own block of seeds, and every
episode is seeded here.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from sparsectl.common.errors import UserError

BLOCK = 2**24
"""Number of seeds of a series; Gymnasium accepts any up to 2³², some libraries only up to 2³¹."""


class Series(IntEnum):
    """The purpose of an episode."""

    EVALUATION = 0
    """What `evaluate` reports; its `--seed` is the episode's own."""
    COLLECT = 1
    """A teacher's dataset."""
    DAGGER = 2
    """Rounds of student-driven data."""
    SELECTION = 3
    """The stages of a distillation, among which it chooses."""
    FINALISTS = 4
    """The best few of them."""
    LOGGED = 5
    """What TensorBoard shows, and a controller steers by."""
    EVIDENCE = 6
    """Teacher and finished student; nothing is chosen by them."""
    PARETO = 7
    """Students beside one another, for a person to choose among."""
    TEACHING = 8
    """A teacher's own learning."""
    TEACHER_SELECTION = 9
    """Its evaluations, of which the best is kept."""
    BENCHMARK = 10
    """The tables of the README and of docs/; no setting was chosen by them."""
    PROBE = 11
    """A few steps that show what a policy's first layer meets; no figure comes of them."""
    SEARCH = 12
    """What a search for a higher return learns from."""


def episode_seed(series: Series, number: int, *entropy: int) -> int:
    """The environment's seed for episode `number` of a series.

    Args:
        series: the purpose.
        number: of the episode.
        entropy: distinguishes one run of the series from another, such as the run's seed and the
            round. Its episodes have consecutive seeds, so they differ from each other.

    Raises:
        UserError: the number is outside the series' block.
    """
    if not 0 <= number < BLOCK:
        raise UserError(
            f"episode seed {number} is out of range; give one from 0 to {BLOCK - 1:,}, since "
            "those above belong to the episodes that select policies"
        )
    start = int(np.random.SeedSequence(entropy).generate_state(1)[0]) if entropy else 0
    return series * BLOCK + (start + number) % BLOCK
