"""Named sets of settings for `sparsectl distill`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from sparsectl.common.errors import UserError
from sparsectl.common.memory import check_memory, dense_parameters
from sparsectl.common.ranges import check_counts, check_numbers
from sparsectl.training.bpd.schedules import SCHEDULES
from sparsectl.training.config import DistillConfig
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.distillation.methods import METHODS, small_hidden
from sparsectl.training.settings import (
    BpdSettings,
    DaggerSettings,
    FinetuneSettings,
    Imitation,
    Units,
)
from sparsectl.training.students.encodings import ENCODINGS
from sparsectl.training.students.penalties import WEIGHT_COSTS
from sparsectl.training.students.pruning import SCORES
from sparsectl.training.students.registry import STUDENTS
from sparsectl.training.students.variational import NOISES


@dataclass(frozen=True)
class Preset:
    """The settings of every stage."""

    bpd: BpdSettings
    finetune: FinetuneSettings
    dagger: DaggerSettings
    episodes: int = 20
    """That measure a student which may be the result."""
    final_episodes: int = 0
    """Others, that decide among the three best; 0: the best by `episodes` is the result."""
    online: bool = False
    """Whether there are a simulator and a teacher for rounds of student-driven data."""

    @property
    def coverage(self) -> str:
        """Which states the student has seen, in words."""
        if self.online and (self.finetune.rounds or self.dagger.rounds):
            return "student-driven rounds: the teacher labelled states that the student met"
        return "purely offline: only states of the dataset; give --env and --teacher for more"


SHORT_BPD = BpdSettings(
    steps=4_000, hidden=(64, 64), learning_rate=4e-3, kl_multiplier=0.5, student_interval=1
)

ALONE = FinetuneSettings(steps=0)
"""The distillation is all."""

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
        DaggerSettings(transitions=15_000, tries=2, anywhere=0.5),
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
        DaggerSettings(rounds=1, transitions=20_000, tries=5, anywhere=0.5, steps=1_500),
        episodes=500,
        final_episodes=2_000,
    ),
}


WIDEST, MOST_LAYERS = 65_536, 32
"""Hidden layers beyond this are a slip of the finger."""

EVIDENCE_EPISODES = {"quick": 300}
"""Of teacher and finished student, where they are not given; nothing is chosen by them."""
MANY_EVIDENCE_EPISODES = 2_000
"""The other presets'."""
EVIDENCE_GROWTH = 8
"""Times as many, at most, where a return is asked for and fewer leave open whether it is there."""


def evidence_looks(config: DistillConfig) -> list[int]:
    """Numbers of evidence episodes after which it is asked whether the target is met.

    Raises:
        UserError: they are less than 1, or the limit is less than the first.
    """
    episodes, limit = config.evidence_episodes, config.evidence_limit
    if episodes is None:
        episodes = EVIDENCE_EPISODES.get(chosen_preset(config), MANY_EVIDENCE_EPISODES)
    if limit is None:
        limit = EVIDENCE_GROWTH * episodes
    if episodes < 1:
        raise UserError(f"evidence_episodes is {episodes}; it must be more than 0")
    if limit < episodes:
        raise UserError(
            f"evidence_limit is {limit}, less than the {episodes} evidence_episodes; give as many "
            "or more"
        )
    return looks(episodes, episodes if config.return_share is None else limit)


def looks(episodes: int, limit: int) -> list[int]:
    """From `episodes` to `limit`, twice as many each time."""
    counts = [episodes]
    while counts[-1] < limit:
        counts.append(min(2 * counts[-1], limit))
    return counts


def chosen_preset(config: DistillConfig) -> Literal["paper", "authors", "quick", "thorough"]:
    """The preset that the config names; auto is thorough."""
    return "thorough" if config.preset == "auto" else config.preset


COUNTS = (
    *("keep", "table_bytes", "steps", "kl_weights"),
    *("finetune_steps", "finetune_rounds", "finetune_prune_rounds"),
    *("finetune_newton_below", "finetune_newton_steps"),
    *("dagger_rounds", "dagger_transitions", "dagger_tries", "dagger_steps"),
    *("episodes", "final_episodes", "evidence_episodes", "evidence_limit"),
)
FACTORS = (
    *("learning_rate", "value_weight", "kl_multiplier", "prior_scale"),
    *("finetune_learning_rate", "dagger_anywhere"),
)
MOST_ROWS, MOST_FACTOR, MOST_LOG = 10_000_000, 1e12, 100.0


def resolved(config: DistillConfig) -> Preset:
    """The preset's settings with what the config gives in their place.

    A method's settings stand over the preset's, and what the config gives over both. Rounds of
    student-driven data are dropped where the config has no environment and teacher.

    Raises:
        UserError: a setting is out of its range, or rounds are asked for without a teacher.
    """
    preset, method = PRESETS[chosen_preset(config)], METHODS[config.method]
    online = config.env is not None and config.teacher is not None
    _check_targets(config, online)
    bpd = replace(preset.bpd, **{**method.bpd, **_bpd_options(config)})
    finetune = replace(preset.finetune, **{**method.finetune, **_finetune_options(config)})
    dagger = replace(preset.dagger, **_dagger_options(config))
    if not online:
        finetune, dagger = replace(finetune, rounds=0), replace(dagger, rounds=0)
    result = Preset(
        bpd,
        finetune,
        dagger,
        preset.episodes if config.episodes is None else config.episodes,
        preset.final_episodes if config.final_episodes is None else config.final_episodes,
        online,
    )
    _check(result)
    _check_ranges(config)
    _check_rounding(config.keep, finetune)
    _check_reachable(config, result)
    evidence_looks(config)
    return result


def fitted(preset: Preset, config: DistillConfig, dataset: Dataset) -> Preset:
    """The preset with the hidden layers of a small network, which the dataset's sizes decide.

    Raises:
        UserError: what is to be trained does not fit into the memory.
    """
    preset = _small(preset, config, dataset)
    bpd = preset.bpd
    sizes = (dataset.observations.shape[1], *bpd.hidden, dataset.actions.shape[1])
    # Means and variances, each with a gradient and Adam's two moments, and a copy of the best;
    # in a batch each layer's mean, deviation and noise, kept for the way back.
    values = 10 * dense_parameters(sizes) + 6 * bpd.batch_size * sum(sizes)
    check_memory(
        4 * values,
        f"hidden {' '.join(map(str, bpd.hidden))} with batches of {bpd.batch_size:,}",
        "give narrower layers or a smaller --batch-size",
    )
    return preset


def _small(preset: Preset, config: DistillConfig, dataset: Dataset) -> Preset:
    if not METHODS[config.method].small or not (config.keep or config.table_bytes):
        return preset
    sizes = dataset.observations.shape[1], dataset.actions.shape[1]
    hidden = small_hidden(config, sizes, len(preset.bpd.hidden))
    return replace(preset, bpd=replace(preset.bpd, hidden=hidden))


def _check_targets(config: DistillConfig, online: bool) -> None:
    asked = config.dagger_rounds or config.finetune_rounds
    if asked and not online:
        raise UserError(
            f"{asked} rounds are asked for but env is {config.env} and teacher {config.teacher}; "
            "rounds of student-driven data need both"
        )
    if config.return_share is not None and not online:
        raise UserError(
            f"return {config.return_share} is asked for but env is {config.env} and teacher "
            f"{config.teacher}; a return is measured, give both"
        )
    if config.kl_return is not None and not online:
        raise UserError(
            f"kl_return is {config.kl_return} but env is {config.env} and teacher "
            f"{config.teacher}; a return is measured, give both"
        )
    for name, share in (("return", config.return_share), ("kl_return", config.kl_return)):
        if share is not None and share > 1:
            meant = share / 100 if 2 <= share <= 100 else 0.97
            raise UserError(
                f"{name} is {share:g}, but it is a share of the teacher's return, from 0 to 1; "
                f"write {100 * meant:g} % as {meant:g}"
            )
    targets = config.targets()
    if len(targets) > 1:
        raise UserError(f"{' and '.join(targets)} are asked for at once; give one of them")
    for name, value in targets.items():
        if not value > 0:
            raise UserError(f"{name} is {value}; it must be more than 0")
    for former, present in (("flash", "table_bytes"), ("flash_encoding", "table_encoding")):
        if getattr(config, former) is not None:  # the command line has put it in its place
            raise UserError(f"{former} is the former name of {present}; give {present}")
    sizes = (config.hidden, config.keep, config.table_bytes)
    if METHODS[config.method].small and all(size is None for size in sizes):
        raise UserError(
            f"method {config.method} has the size it is asked for; give --keep, --table-bytes or "
            "--hidden"
        )


def _check_ranges(config: DistillConfig) -> None:
    """Numbers beyond what a run could ever need or its arithmetic hold: a digit too many."""
    check_counts(config, 0, *COUNTS)
    check_counts(config, 1, "batch_size", "finetune_newton_rows", most=MOST_ROWS)
    check_numbers(config, *FACTORS, least=0, most=MOST_FACTOR)
    check_numbers(config, "log_alpha_threshold", least=-MOST_LOG, most=MOST_LOG)
    check_numbers(config, "kl_return", least=0, most=1)


def _check_reachable(config: DistillConfig, preset: Preset) -> None:
    targets = config.targets()
    if targets and not preset.finetune.steps and not METHODS[config.method].small:
        (name, value), *_ = targets.items()
        raise UserError(
            f"{name} is {value}, but preset {config.preset} has no fine-tuning, in which weights "
            "would go until that is reached; take --preset thorough, or give --finetune-steps"
        )
    if config.critics is not None and preset.bpd.units != "normalised":
        raise UserError(
            f"critics is {config.critics}, but preset {config.preset} works in {preset.bpd.units} "
            "units; critics are shared in normalised ones only: leave --critics out"
        )


def _check_rounding(keep: int | None, finetune: FinetuneSettings) -> None:
    if finetune.encoding != "float32" and keep and keep <= finetune.newton_below:
        raise UserError(
            f"finetune_encoding is {finetune.encoding!r}, but students of {keep} weights learn by "
            "curvature, which knows no rounding; leave it to `export --calibration DATASET`, or "
            "give --finetune-newton-below 0"
        )


def _bpd_options(config: DistillConfig) -> dict[str, Any]:
    """What the command line gives of `BpdSettings`, by the names of its fields."""
    return _given(
        steps=config.steps,
        hidden=config.hidden,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        units=config.units,
        imitation=config.imitation,
        value_weight=config.value_weight,
        kl_multiplier=config.kl_multiplier,
        kl_weights=config.kl_weights,
        kl_return=config.kl_return,
        kl_schedule=config.kl_schedule,
        noise=config.noise,
        prior=config.prior,
        prior_scale=config.prior_scale,
        log_alpha_threshold=config.log_alpha_threshold,
        critic_dtype=config.critic_dtype,
        discount=config.discount,
    )


def _finetune_options(config: DistillConfig) -> dict[str, Any]:
    """The same of `FinetuneSettings`."""
    return _given(
        steps=config.finetune_steps,
        rounds=config.finetune_rounds,
        prune_rounds=config.finetune_prune_rounds,
        score=config.finetune_score,
        encoding=config.finetune_encoding,
        learning_rate=config.finetune_learning_rate,
        newton_below=config.finetune_newton_below,
        newton_steps=config.finetune_newton_steps,
        newton_rows=config.finetune_newton_rows,
    )


def _dagger_options(config: DistillConfig) -> dict[str, Any]:
    """The same of `DaggerSettings`."""
    return _given(
        rounds=config.dagger_rounds,
        transitions=config.dagger_transitions,
        tries=config.dagger_tries,
        anywhere=config.dagger_anywhere,
        steps=config.dagger_steps,
        hard_share=config.dagger_hard_share,
    )


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _check(preset: Preset) -> None:
    bpd = preset.bpd
    known: dict[str, tuple[str, Mapping[str, Any]]] = {
        "prior": (bpd.prior, WEIGHT_COSTS),
        "kl_schedule": (bpd.kl_schedule, SCHEDULES),
        "student": (bpd.student, STUDENTS),
        "noise": (bpd.noise, NOISES),
        "finetune_score": (preset.finetune.score, SCORES),
        "finetune_encoding": (preset.finetune.encoding, ENCODINGS),
        "units": (bpd.units, dict.fromkeys(get_args(Units))),
        "imitation": (bpd.imitation, dict.fromkeys(get_args(Imitation))),
    }
    for name, (choice, registry) in known.items():
        if choice not in registry:
            raise UserError(f"{name} is {choice!r}; take one of {', '.join(registry)}")
    positive = {
        "steps": bpd.steps,
        "batch_size": bpd.batch_size,
        "prior_scale": bpd.prior_scale,
        "finetune_learning_rate": preset.finetune.learning_rate,
        "finetune_cuts": preset.finetune.cuts,
        "finetune_prune_rounds": preset.finetune.prune_rounds,
        "finetune_newton_steps": preset.finetune.newton_steps,
        "finetune_newton_rows": preset.finetune.newton_rows,
        "learning_rate": bpd.learning_rate,
        "dagger_transitions": preset.dagger.transitions,
        "dagger_tries": preset.dagger.tries,
        "episodes": preset.episodes,
        "hidden layers": len(bpd.hidden),
        "narrowest hidden layer": min(bpd.hidden, default=0),
    }
    for name, value in positive.items():
        if not 0 < value < float("inf"):
            raise UserError(f"{name} is {value}; it must be more than 0")
    if not 0 <= bpd.discount <= 1:
        raise UserError(f"discount is {bpd.discount}; it must be from 0 to 1")
    widest = max(bpd.hidden)
    if widest > WIDEST or len(bpd.hidden) > MOST_LAYERS:
        raise UserError(
            f"hidden has {len(bpd.hidden)} layers of up to {widest} neurons; give {MOST_LAYERS} of "
            f"{WIDEST} at most"
        )
    share = preset.dagger.hard_share
    if not 0 <= share < 1:
        raise UserError(f"dagger_hard_share is {share}; it must be 0 or more and less than 1")
    not_negative = {
        "value_weight": bpd.value_weight,
        "kl_multiplier": bpd.kl_multiplier,
        "finetune_steps": preset.finetune.steps,
        "final_episodes": preset.final_episodes,
        "finetune_rounds": preset.finetune.rounds,
        "finetune_newton_below": preset.finetune.newton_below,
        "dagger_rounds": preset.dagger.rounds,
        "dagger_steps": preset.dagger.steps,
        "dagger_anywhere": preset.dagger.anywhere,
    }
    for name, value in not_negative.items():
        if not 0 <= value < float("inf"):
            raise UserError(f"{name} is {value}; it must be 0 or more")
