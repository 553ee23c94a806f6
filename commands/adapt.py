"""`sparsectl adapt`: teach the policy for any pendulum one rig, from journals of failed trials."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sparsectl.command_line.config import AdaptConfig
from sparsectl.commands.any_rig.narrowing import bounded, narrowed
from sparsectl.commands.any_rig.policies import FAMILIES, warn_outside
from sparsectl.common.errors import UserError
from sparsectl.common.files import (
    atomic_path,
    check_writable,
    read_json,
    read_whole,
    write_json,
)
from sparsectl.common.folder_lock import locked_folder
from sparsectl.common.provenance import provenance
from sparsectl.common.ranges import check_counts
from sparsectl.common.warning import warn
from sparsectl.hil.journal.journal import SIGNATURE, SIZE_LIMIT
from sparsectl.plants.bare_rig import Whole, whole_rig
from sparsectl.plants.drawing import load_ranges
from sparsectl.plants.rig import Rig, load_rig, rig_path

if TYPE_CHECKING:
    from sparsectl.training.any_rig.acting import Acting

STUDENT: Final = "student.safetensors"
AGAIN: Final = "for_any_rig.safetensors"
"""Name of the file with the same student for any rig, whose inputs of limit, period and counts are
not yet folded: a later adaptation begins with it."""
ASKED, RESULT = "asked.json", "adapt.json"
LEARNING = "learning"
"""Name of the folder in `out` with the distillation and its checkpoint."""


def adapt(config: AdaptConfig) -> dict[str, Any]:
    """Narrow the ranges by the journals, distil there, and compare before and after.

    Returns:
        student and rig (paths), before and after (of how many drawn rigs each balances, with
        Wilson's 95 % interval), note.

    Raises:
        UserError: a file is no journal, is of another rig or tells too little; the policy is no
            student for any rig; `out` holds another adaptation.
    """
    check_counts(config, 1, "rounds", most=1000)
    check_counts(config, 10, "rigs", most=10_000)
    check_counts(config, 0, "seed", most=400)
    if not config.journals:
        raise UserError("no journal is given; name the journal.bin of a trial on this rig")
    student, family = _begun(config.policy)
    ranges = load_ranges(family)
    whole = whole_rig(rig_path(config.rig), ranges)
    warn_outside(whole, ranges, f"any-{family}")
    check_writable(config.out)
    with locked_folder(config.out):
        asked = _asked(config, whole.text, student)
        rig = _known_rig(config, whole, asked)
        found = bounded(load_rig(rig))
        return _taught(config, found, student, family, rig)


def _begun(policy: Path) -> tuple[Path, str]:
    """Return the file of the student to begin with, and the family of rigs that it is for.

    Raises:
        UserError: it is none for any rig.
    """
    from sparsectl.training.any_rig.deploy import family_of, read_any, student_path

    family = FAMILIES.get(str(policy))
    path = policy if family is None or policy.exists() else student_path(family)
    if path.name == STUDENT and (path.parent / AGAIN).is_file():
        path = path.parent / AGAIN
    if path.is_dir() or path.suffix != ".safetensors":
        raise UserError(
            f"--policy {policy} is not a policy for any rig; give {' or '.join(FAMILIES)}, "
            "or the student.safetensors of another adaptation"
        )
    read_any(path)
    return path, family_of(path)


def _asked(config: AdaptConfig, rig: str, student: Path) -> dict[str, Any]:
    """Return what an adaptation depends on, which `out` must have been begun with."""
    journals = [
        read_whole(path, SIZE_LIMIT, "name a journal.bin", SIGNATURE) for path in config.journals
    ]
    digests = [_digest(content) for content in (*journals, student.read_bytes())]
    asked = {"files": [*digests, _digest(rig.encode())], "seed": config.seed}
    path = config.out / ASKED
    if path.is_file() and read_json(path) != asked:
        raise UserError(
            f"{config.out} holds an adaptation of other journals, another rig file, policy or "
            "seed; give another --out"
        )
    return asked


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _known_rig(config: AdaptConfig, whole: Whole, asked: dict[str, Any]) -> Path:
    """Return the file of the rig that the journals show; it is found once."""
    path = config.out / f"{whole.rig.name}.toml"
    if not (config.out / ASKED).is_file():
        text = narrowed(config.journals, whole.rig, whole.guessed)
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        write_json(config.out / ASKED, asked)
    return path


def _taught(
    config: AdaptConfig, rig: Rig, begin: Path, family: str, rig_file: Path
) -> dict[str, Any]:
    """Distil on rigs drawn from what is uncertain of this one, and compare."""
    import torch

    from sparsectl.training.any_rig.acting import Acting
    from sparsectl.training.any_rig.deploy import read_any, write_any, write_for_rig
    from sparsectl.training.any_rig.distill import AnyRigDistillation, AnyRigSettings

    torch.set_num_threads(1)
    before = read_any(begin)
    settings = AnyRigSettings(
        family=family,
        rounds=config.rounds,
        rigs=96,
        again=0.0,
        updates=24,
        batch=96,
        kept=16,
        units=before.weight_hh.shape[1],
        learning_rate=2e-3,
        near_upright=1.0,
        near_limit=2.0,
        begin=str(begin),
        seed=config.seed,
        checkpoint_rounds=1,
    )
    distillation = AnyRigDistillation(settings, config.out / LEARNING, lambda _: rig, "adapt")
    distillation.run()
    after = distillation.actor
    assert isinstance(after, Acting)
    student, origin = config.out / STUDENT, provenance()
    facts = {"rounds": distillation.round, "seed": config.seed, "made": origin}
    write_any(config.out / AGAIN, after, {"family": family, "adapted": facts})
    write_for_rig(student, after, rig, {"adapted": facts})
    compared = _compared(rig, before, after, config)
    result = {"student": str(student), "rig": str(rig_file), **compared}
    write_json(config.out / RESULT, result | {"rounds": distillation.round, "provenance": origin})
    return result


def _compared(rig: Rig, before: Acting, after: Acting, config: AdaptConfig) -> dict[str, Any]:
    """Count on how many drawn rigs each balances: units of this rig that neither has learnt
    from."""
    from sparsectl.export.other_choices import wilson
    from sparsectl.training.any_rig.measure import trials
    from sparsectl.training.rollouts.seeds import Series, episode_seed

    seeds = [episode_seed(Series.BENCHMARK, number) for number in range(config.rigs)]
    rows: dict[str, Any] = {}
    for name, actor in (("before", before), ("after", after)):
        balanced = int(trials([rig] * config.rigs, seeds, actor).balanced.sum())
        low, high = wilson(balanced, config.rigs)
        rows[name] = f"{balanced} of {config.rigs}, 95 % interval {low:.1%} to {high:.1%}"
        rows[f"{name}_share"] = {"share": balanced / config.rigs, "low": low, "high": high}
    if rows["after_share"]["share"] <= rows["before_share"]["share"]:
        warn("no better than before; give journals in which the pole moves more, or --rounds 40")
    return rows
