"""What journals of failed trials tell of a rig: the ranges within which it lies."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from pathlib import Path

from sparsectl.common.errors import UserError
from sparsectl.common.progress import Progress
from sparsectl.common.warning import warn
from sparsectl.hil.identification.fit import POOR_FIT_COUNTS, Fit, fit
from sparsectl.hil.identification.rig_file import rig_toml
from sparsectl.hil.identification.unknowns import UNKNOWNS, key, start
from sparsectl.hil.identification.windows import LEAST_WINDOWS, TICKS, Window, moving
from sparsectl.hil.journal.journal import Journal, read_and_warn
from sparsectl.hil.journal.trace import read_samples
from sparsectl.plants.rig import Rig

MOST_WINDOWS = 160
"""More of them take longer and tell no more."""

FACTORS = (0.5, 2.0)
"""Widest range that is learnt from, as factors of a value that the journals tell little about."""

COUNTED = ("base.unit_per_count", "pole.counts_per_turn")

MISCOUNT = 0.05
"""Share of a count by which journals must differ from a rig's file to be believed rather."""

WEIGHED = ("base.mass_kg", "pole.length_m", "motor.effort_per_volt")

MISFIT = 0.25
"""Share of what a file says was weighed or measured by which a rig in a journal must differ to be
another."""

LOST_TURNS = 1 / 60
"""Residual of the pole, in turns, beyond which a fit describes no motion of the journals at all."""

SAME = 1e-3
"""Share by which a journal's constants may differ from those of the rig's file."""


def narrowed(paths: Sequence[Path], rig: Rig, guessed: Collection[str] = ()) -> str:
    """Return the rig that the journals show, as the text of its file; the ranges are their 95 %
    intervals.

    Args:
        paths: of the journals.
        rig: by its file.
        guessed: numbers that the file does not give, as `plants.bare_rig.Whole` names them.

    Raises:
        UserError: a file is no journal, is one of another rig, or all of them tell too little.
    """
    windows = [window for path in paths for window in _windows(path, rig)]
    if len(windows) < LEAST_WINDOWS:
        raise UserError(
            f"the rig moves in {len(windows)} stretches of {TICKS} ticks of {_named(paths)}, but "
            f"{LEAST_WINDOWS} are needed; give journals of longer trials in which the pole swings"
        )
    stride = -(-len(windows) // MOST_WINDOWS)
    with Progress(desc="what the journals tell", unit="iteration", leave=False) as bar:

        def show(iteration: int, rms: float) -> None:
            bar.update()
            bar.set_postfix_str(f"residual {rms:.3f} counts")

        found = fit(windows[::stride], start(rig), show)
    residual = max(found.residual_counts)
    is_lost = found.residual_counts[1] > LOST_TURNS * abs(rig.pole.counts_per_turn)
    if is_lost or (not found.converged and residual > POOR_FIT_COUNTS):
        raise UserError(
            f"{_named(paths)} fit no rig near {rig.name}'s file (residual {residual:.1f} counts); "
            "measure masses, length and supply, put them in the file, and try again"
        )
    if not found.converged:
        # Numbers that act alike slide along each other; the motion is explained all the same.
        warn(
            f"after {found.iterations} iterations the numbers of {rig.name} still change; they "
            f"explain the journals to {residual:.1f} counts, and are taken as they are"
        )
    elif residual > POOR_FIT_COUNTS:
        warn(
            f"the residual is {residual:.1f} counts, where quantisation alone "
            "leaves 0.3: the model lacks something that this rig has (play, slip, a loose belt?)"
        )
    _compare_masses(rig, found, guessed, paths)
    return rig_toml(_with_counts_of(rig, found), _named(paths))


def _compare_masses(rig: Rig, found: Fit, guessed: Collection[str], paths: Sequence[Path]) -> None:
    """Warn where the journals are of a rig whose counts are the same and whose masses are not."""
    other = []
    for unknown, value, said in zip(UNKNOWNS, found.guess.values, start(rig).values, strict=True):
        is_given = f"[{unknown.section}] {unknown.name}" not in guessed
        if key(unknown) in WEIGHED and is_given and abs(value - said) > MISFIT * abs(said):
            other.append(f"{key(unknown)} of {value:.3g} where the file says {said:.3g}")
    if other:
        warn(
            f"{_named(paths)} show {', '.join(other)}: are they of {rig.name}? If so, correct its "
            "file"
        )


def _with_counts_of(rig: Rig, found: Fit) -> Fit:
    """Return what was found with the counts of the rig's file, unless the journals contradict them:
    they were counted or read off a data sheet."""
    values = list(found.guess.values)
    for index, (unknown, said) in enumerate(zip(UNKNOWNS, start(rig).values, strict=True)):
        if key(unknown) not in COUNTED:
            continue
        value = values[index]
        if abs(value - said) <= MISCOUNT * abs(said):
            values[index] = said
        else:
            warn(
                f"the journals show {key(unknown)} = {value:.5g}, but the file of {rig.name} says "
                f"{said:.5g}; count it again"
            )
    return replace(found, guess=replace(found.guess, values=tuple(values)))


def bounded(rig: Rig) -> Rig:
    """Return a rig with no factor beyond `FACTORS`: an interval may be wider than any rig
    varies."""
    ranges = rig.randomisation
    low, high = FACTORS
    return replace(
        rig,
        randomisation=replace(
            ranges,
            **{
                field.name: tuple(min(max(end, low), high) for end in getattr(ranges, field.name))
                for field in fields(ranges)
                if field.name.endswith("_factor")
            },
        ),
    )


def _windows(path: Path, rig: Rig) -> list[Window]:
    journal = read_and_warn(path)
    _check_rig(journal, rig, path)
    return moving(read_samples(journal))


def _check_rig(journal: Journal, rig: Rig, path: Path) -> None:
    """Check that a journal is of a rig with the same counts and period."""
    there, here = journal.header.rig_constants, rig.firmware_constants()
    for name in ("period_us", "base_unit_per_count", "pole_rad_per_count"):
        its, asked = getattr(there, name), getattr(here, name)
        if abs(its - asked) > SAME * abs(asked):
            raise UserError(
                f"{path} is of another rig ({journal.header.rig}): {name} is {its:g} there and "
                f"{asked:g} in {rig.name}'s file; give the file of the rig that the trial ran on"
            )


def _named(paths: Sequence[Path]) -> str:
    rest = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0]}{rest}" if paths else "no journals"
