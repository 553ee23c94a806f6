"""After how many episodes a return is analysed, where more can decide what fewer leave open.

A trial whose results are analysed as they come in has interim analyses (Armitage, McPherson and
Rowe 1969); each but the last may end it.
"""

from __future__ import annotations

from sparsectl.common.errors import UserError
from sparsectl.training.config import DistillConfig
from sparsectl.training.distillation.presets import chosen_preset

EVIDENCE_EPISODES = {"quick": 300}
"""Of teacher and finished student, where they are not given; nothing is chosen by them."""
MANY_EVIDENCE_EPISODES = 2_000
"""The other presets'."""
EVIDENCE_GROWTH = 8
"""Times as many, at most, where a return is asked for and fewer leave open whether it is there."""


def evidence_analyses(config: DistillConfig) -> list[int]:
    """Numbers of evidence episodes after which it is asked whether the target is met.

    Raises:
        UserError: they are less than 1, or the limit is less than the first.
    """
    episodes, limit = config.evidence.episodes, config.evidence.limit
    if episodes is None:
        episodes = EVIDENCE_EPISODES.get(chosen_preset(config), MANY_EVIDENCE_EPISODES)
    if limit is None:
        limit = EVIDENCE_GROWTH * episodes
    if episodes < 1:
        raise UserError(f"evidence.episodes is {episodes}; it must be more than 0")
    if limit < episodes:
        raise UserError(
            f"evidence.limit is {limit}, less than the {episodes} evidence.episodes; give as many "
            "or more"
        )
    return doubled(episodes, episodes if config.return_share is None else limit)


def doubled(episodes: int, limit: int) -> list[int]:
    """From `episodes` to `limit`, twice as many each time."""
    counts = [episodes]
    while counts[-1] < limit:
        counts.append(min(2 * counts[-1], limit))
    return counts
