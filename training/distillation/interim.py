"""Plan the numbers of episodes after which a return is analysed, if more episodes can settle an
open result.

A trial whose results are analysed as they come in has interim analyses (Armitage, McPherson and
Rowe 1969); each but the last may end it.
"""

from __future__ import annotations

from sparsectl.common.errors import UserError
from sparsectl.training.config import DistillConfig
from sparsectl.training.distillation.presets import chosen_preset

EVIDENCE_EPISODES = {"quick": 300}
"""Evidence episodes by preset, if the config does not give their number; nothing is selected by
them."""
MANY_EVIDENCE_EPISODES = 2_000
"""Evidence episodes of the other presets."""
EVIDENCE_GROWTH = 8
"""Factor by which the episodes may grow, if a return is the target and fewer leave it open."""


def evidence_analyses(config: DistillConfig) -> list[int]:
    """Return the numbers of evidence episodes after which the target is tested; none if there is to
    be no evidence.

    Raises:
        UserError: there is to be none, but a return is the target; or the limit is less than the
            episodes.
    """
    episodes, limit = config.evidence.episodes, config.evidence.limit
    if episodes is None:
        episodes = EVIDENCE_EPISODES.get(chosen_preset(config), MANY_EVIDENCE_EPISODES)
    if limit is None:
        limit = EVIDENCE_GROWTH * episodes
    if episodes == 0:
        if config.return_share is not None:
            raise UserError(
                f"evidence.episodes is 0, but --return {config.return_share} is judged by it; "
                "give 1 or more, or leave it out"
            )
        return []
    if limit < episodes:
        raise UserError(
            f"evidence.limit is {limit}, less than the {episodes} evidence.episodes; give as many "
            "or more"
        )
    return doubled(episodes, episodes if config.return_share is None else limit)


def doubled(episodes: int, limit: int) -> list[int]:
    """Return numbers from `episodes` to `limit`, each twice the one before."""
    counts = [episodes]
    while counts[-1] < limit:
        counts.append(min(2 * counts[-1], limit))
    return counts
