"""Refuse impossible settings of a distillation, in one line, before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, get_args

from sparsectl.common.errors import UserError
from sparsectl.common.ranges import check_counts, check_numbers
from sparsectl.training.bpd.schedules import SCHEDULES
from sparsectl.training.config import DistillConfig
from sparsectl.training.distillation.methods import METHODS
from sparsectl.training.distillation.presets import Preset
from sparsectl.training.settings import FinetuneSettings, Imitation, Units
from sparsectl.training.students.encodings import ENCODINGS
from sparsectl.training.students.penalties import WEIGHT_COSTS
from sparsectl.training.students.pruning import SCORES
from sparsectl.training.students.registry import STUDENTS
from sparsectl.training.students.variational import NOISES

WIDEST, MOST_LAYERS = 65_536, 32
"""More hidden layers than this are taken for a typing error."""

MOST_SEARCHED = 100_000
"""Perturbed students, or episodes of one, in a generation."""

MOST_ROWS, MOST_FACTOR, MOST_LOG = 10_000_000, 1e12, 100.0


def check_targets(config: DistillConfig, online: bool) -> None:
    asked = {"dagger.rounds": config.dagger.rounds, "finetune.rounds": config.finetune.rounds}
    for name, count in asked.items():
        if count and not online:
            raise UserError(
                f"{name} is {count}, but env is {config.env} and teacher {config.teacher}; rounds "
                "of student-driven data need both: give them, or leave the rounds out"
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
    sizes = (config.hidden, config.keep, config.table_bytes)
    if METHODS[config.method].small and all(size is None for size in sizes):
        raise UserError(
            f"method {config.method} trains a network of the size that you name; give --keep, "
            "--table-bytes or --hidden"
        )


def check_ranges(config: DistillConfig) -> None:
    """Refuse numbers beyond what a run can need or its arithmetic can hold, such as one with a
    digit too many."""
    sizes = ("keep", "table_bytes", "steps", "kl_weights", "episodes", "final_episodes")
    rounds = ("rounds", "transitions", "tries", "steps")
    finetune = ("steps", "rounds", "prune_rounds", "newton_below", "newton_steps")
    factors = ("learning_rate", "value_weight", "kl_multiplier", "prior_scale")
    check_counts(config, 0, *sizes)
    check_counts(config, 0, "channels", most=WIDEST)
    check_counts(config.finetune, 0, *finetune, of="finetune")
    check_counts(config.dagger, 0, *rounds, of="dagger")
    check_counts(config.evidence, 0, "episodes", "limit", of="evidence")
    check_counts(config.search, 0, "generations", of="search")
    check_counts(config.search, 1, "pairs", "pool", of="search", most=MOST_SEARCHED)
    check_counts(config.search, 2, "episodes", of="search", most=MOST_SEARCHED)
    check_counts(config, 1, "batch_size", most=MOST_ROWS)
    check_counts(config.finetune, 1, "newton_rows", of="finetune", most=MOST_ROWS)
    check_numbers(config, *factors, least=0, most=MOST_FACTOR)
    check_numbers(config.finetune, "learning_rate", of="finetune", least=0, most=MOST_FACTOR)
    check_numbers(config.dagger, "uniform_starts", of="dagger", least=0, most=MOST_FACTOR)
    check_numbers(config, "log_alpha_threshold", least=-MOST_LOG, most=MOST_LOG)
    check_numbers(config, "kl_return", least=0, most=1)


def check_reachable(config: DistillConfig, preset: Preset) -> None:
    targets = config.targets()
    if targets and not preset.finetune.steps and not METHODS[config.method].small:
        (name, value), *_ = targets.items()
        raise UserError(
            f"{name} is {value}, but preset {config.preset} has no fine-tuning, in which weights "
            "would be pruned down to that; use --preset thorough, or give --finetune.steps"
        )
    if config.critics is not None and preset.bpd.units != "normalised":
        raise UserError(
            f"critics is {config.critics}, but preset {config.preset} works in {preset.bpd.units} "
            "units; critics are shared in normalised ones only: leave --critics out"
        )


def check_keep(keep: int | None, hidden: Sequence[int]) -> None:
    """Check that a wanted size is not beyond any student with these hidden layers: a digit too
    many would leave all weights, without a message."""
    most = sum(a * b for a, b in pairwise((WIDEST, *hidden, WIDEST)))
    if keep is not None and keep > most:
        raise UserError(
            f"keep is {keep:,}, but a student with hidden layers of {'-'.join(map(str, hidden))} "
            f"has at most {most:,} weights; give fewer"
        )


def check_search(config: DistillConfig, preset: Preset) -> None:
    search = preset.search
    if not search.generations:
        return
    asked = f"search.generations is {search.generations}, but"
    if config.env is None:
        raise UserError(f"{asked} a search needs episodes to run; give --env")
    if not preset.finetune.steps:
        raise UserError(
            f"{asked} preset {config.preset} has no fine-tuning, whose best student a search "
            "begins with; use --preset thorough, or give --finetune.steps"
        )
    if search.pool < search.episodes:
        raise UserError(
            f"search.pool is {search.pool}, fewer than the {search.episodes} episodes that "
            "search.episodes asks for, half of which are chosen among them; give a larger pool"
        )


def check_searchable(preset: Preset, chooses: bool, image: tuple[int, int, int] | None) -> None:
    """See that a search knows this kind of student.

    Raises:
        UserError: its actions are choices, or it has a convolution.
    """
    asked = f"search.generations is {preset.search.generations}, but"
    if preset.search.generations and chooses:
        raise UserError(
            f"{asked} the actions are choices, which small changes of the weights leave as they "
            "are; leave it out"
        )
    if preset.search.generations and image is not None and preset.bpd.channels:
        raise UserError(
            f"{asked} a student of images has a convolution, which the search does not know; leave "
            "it out, or give --channels 0"
        )


def check_rounding(keep: int | None, finetune: FinetuneSettings) -> None:
    if finetune.encoding != "float32" and keep and keep <= finetune.newton_below:
        raise UserError(
            f"finetune.encoding is {finetune.encoding!r}, but students of {keep} weights are "
            "fine-tuned by curvature, which does not model rounding; leave that to `export "
            "--calibration DATASET`, or give --finetune.newton-below 0"
        )


def check_preset(preset: Preset) -> None:
    bpd = preset.bpd
    known: dict[str, tuple[str, Mapping[str, Any]]] = {
        "prior": (bpd.prior, WEIGHT_COSTS),
        "kl_schedule": (bpd.kl_schedule, SCHEDULES),
        "student": (bpd.student, STUDENTS),
        "noise": (bpd.noise, NOISES),
        "finetune.score": (preset.finetune.score, SCORES),
        "finetune.encoding": (preset.finetune.encoding, ENCODINGS),
        "units": (bpd.units, dict.fromkeys(get_args(Units))),
        "imitation": (bpd.imitation, dict.fromkeys(get_args(Imitation))),
    }
    for name, (choice, registry) in known.items():
        if choice not in registry:
            raise UserError(f"{name} is {choice!r}; use one of {', '.join(registry)}")
    positive = {
        "steps": bpd.steps,
        "batch_size": bpd.batch_size,
        "prior_scale": bpd.prior_scale,
        "finetune.learning_rate": preset.finetune.learning_rate,
        "finetune.cuts": preset.finetune.cuts,
        "finetune.prune_rounds": preset.finetune.prune_rounds,
        "finetune.newton_steps": preset.finetune.newton_steps,
        "finetune.newton_rows": preset.finetune.newton_rows,
        "learning_rate": bpd.learning_rate,
        "dagger.transitions": preset.dagger.transitions,
        "dagger.tries": preset.dagger.tries,
        "episodes": preset.episodes,
        "narrowest hidden layer": min(bpd.hidden, default=1),
    }
    for name, value in positive.items():
        if not 0 < value < float("inf"):
            raise UserError(f"{name} is {value}; it must be finite and more than 0")
    if not 0 <= bpd.discount <= 1:
        raise UserError(f"discount is {bpd.discount}; it must be from 0 to 1")
    widest = max(bpd.hidden, default=1)
    if widest > WIDEST or len(bpd.hidden) > MOST_LAYERS:
        raise UserError(
            f"hidden has {len(bpd.hidden)} layers of up to {widest} neurons; give {MOST_LAYERS} of "
            f"{WIDEST} at most"
        )
    share = preset.dagger.hard_share
    if not 0 <= share < 1:
        raise UserError(f"dagger.hard_share is {share}; it must be 0 or more and less than 1")
    not_negative = {
        "value_weight": bpd.value_weight,
        "kl_multiplier": bpd.kl_multiplier,
        "finetune.steps": preset.finetune.steps,
        "final_episodes": preset.final_episodes,
        "finetune.rounds": preset.finetune.rounds,
        "finetune.newton_below": preset.finetune.newton_below,
        "dagger.rounds": preset.dagger.rounds,
        "dagger.steps": preset.dagger.steps,
        "dagger.uniform_starts": preset.dagger.uniform_starts,
    }
    for name, value in not_negative.items():
        if not 0 <= value < float("inf"):
            raise UserError(f"{name} is {value}; it must be a finite number from 0 on")
