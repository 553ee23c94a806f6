"""Named sets of settings for `sparsectl distill`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparsectl.training.config import DistillConfig
from sparsectl.training.settings import (
    BpdSettings,
    DaggerSettings,
    FinetuneSettings,
    SearchSettings,
)


@dataclass(frozen=True)
class Preset:
    """The settings of every stage."""

    bpd: BpdSettings
    finetune: FinetuneSettings
    dagger: DaggerSettings
    episodes: int = 20
    """Episodes that measure a student that may be the result."""
    final_episodes: int = 0
    """Other episodes, that decide among the three best; 0: the best by `episodes` is the result."""
    search: SearchSettings = SearchSettings()
    online: bool = False
    """True if the student also learns from states that it reaches itself, which needs a simulator
    and a teacher."""

    @property
    def data(self) -> str:
        """Return in words which states the student learns from."""
        if self.online and (self.finetune.rounds or self.dagger.rounds):
            return "student-driven rounds: the teacher labelled states that the student met"
        return "purely offline: only states of the dataset; give --env and --teacher for more"


SHORT_BPD = BpdSettings(
    steps=4_000, hidden=(64, 64), learning_rate=4e-3, kl_multiplier=0.5, student_interval=1
)

ALONE = FinetuneSettings(steps=0)
"""No fine-tuning follows the distillation."""

PRESETS = {
    # The formulas of the paper: observations and actions in physical units, no fine-tuning.
    "paper": Preset(BpdSettings(units="physical"), ALONE, DaggerSettings()),
    # What its authors' program computes: the mean over an action's elements where the paper has the
    # sum, and another deviation of the weights' noise.
    "authors": Preset(
        BpdSettings(units="physical", imitation="mean", noise="authors"), ALONE, DaggerSettings()
    ),
    # Measured on the cart-pole, from 64-64: distillation leaves 550 to 700 weights, and with
    # curvature 240 of them return as much as all.
    "quick": Preset(
        SHORT_BPD,
        FinetuneSettings(
            steps=6_000, rounds=2, prune_rounds=3, score="curvature", newton_below=1_200
        ),
        DaggerSettings(transitions=15_000, tries=2, uniform_starts=0.5),
        episodes=40,
    ),
    # Down to 363 of the cart-pole's weights. What keeps a student from failing is how well the last
    # hundred weights take over from those that go: small cuts, long fine-tunings. One that fails
    # twice in a thousand episodes shows it in 500, hardly in 20. So many measure each of seven: the
    # first whose 500 are all good would owe some of that to luck. So may the best of seven, and
    # 2,000 others decide among the best three.
    "thorough": Preset(
        SHORT_BPD,
        FinetuneSettings(
            steps=24_000,
            rounds=6,
            prune_rounds=10,
            learning_rate=3e-3,
            score="curvature",
            newton_below=1_200,
            newton_rows=50_000,
        ),
        DaggerSettings(rounds=1, transitions=20_000, tries=5, uniform_starts=0.5, steps=1_500),
        episodes=500,
        final_episodes=2_000,
    ),
}


def chosen_preset(config: DistillConfig) -> Literal["paper", "authors", "quick", "thorough"]:
    """Return the preset that the config names; auto is thorough."""
    return "thorough" if config.preset == "auto" else config.preset
