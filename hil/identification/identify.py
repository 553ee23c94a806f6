"""`sparsectl identify`: estimate a rig's parameters from one journal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path
from sparsectl.common.progress import Progress
from sparsectl.common.warning import warn
from sparsectl.hil.config import IdentifyConfig
from sparsectl.hil.identification.fit import POOR_FIT_COUNTS, Fit, fit
from sparsectl.hil.identification.picture import draw
from sparsectl.hil.identification.rig_file import counts_per_turn, rig_toml
from sparsectl.hil.identification.unknowns import UNKNOWNS, key, start
from sparsectl.hil.identification.windows import cut
from sparsectl.hil.journal.header import JournalHeader
from sparsectl.hil.journal.journal import read_and_warn
from sparsectl.hil.journal.trace import read_samples
from sparsectl.plants.bare_rig import whole_rig_of
from sparsectl.plants.rig import LINEAR, ROTARY, Rig, load_rig, rig_path
from sparsectl.plants.rig_file import read_table

_KINDS = {LINEAR: "a cart on a track", ROTARY: "a rotary pendulum"}
_MODELS = {"m": LINEAR, "rad": ROTARY}

_NOT_FITTED = ("[pole] mass_kg", "[motor] back_emf_v")
"""What a journal cannot tell, as `plants.bare_rig.Whole` names it."""


def identify(config: IdentifyConfig) -> dict[str, Any]:
    """Fit the simulator to a journal; write a rig file and a picture beside it.

    Returns:
        rig and picture (paths), parameters (by name: value, low, high, unit, was, meaning),
        residual_counts, windows, iterations, converged, note.

    Raises:
        UserError: no journal, no such rig or one of another kind, too little motion in the
            journal, or a file that cannot be written.
    """
    if config.out.suffix != ".toml":
        raise UserError(f"--out is {config.out}; name a rig file, such as my_rig.toml")
    journal = read_and_warn(config.journal)
    header = journal.header
    rig = _first_rig(config, header, rig_path(config.rig or header.config.rig or header.rig))
    windows = cut(read_samples(journal))
    with Progress(desc="identify", unit="iteration", leave=False) as bar:

        def show(iteration: int, rms: float) -> None:
            bar.update()
            bar.set_postfix_str(f"residual {rms:.3f} counts")

        found = fit(windows, start(rig), show)
    counts = counts_per_turn(found)
    if counts != rig.pole.counts_per_turn:
        warn(
            f"the journal shows pole.counts_per_turn of {counts:.6g}, and the file of {rig.name} "
            f"says {rig.pole.counts_per_turn:.6g}; count the encoder's lines and its gear again"
        )
    picture = config.out.with_suffix(".png")
    config.out.parent.mkdir(parents=True, exist_ok=True)
    draw(found, windows, picture)
    with atomic_path(config.out) as path:
        path.write_text(rig_toml(found, config.journal.name), encoding="utf-8")
    load_rig(config.out)
    return _result(found, config.out, picture)


def _first_rig(config: IdentifyConfig, header: JournalHeader, path: Path) -> Rig:
    """Read the rig with which the fit starts; what its file leaves out lies in the middle of what
    people build.

    Raises:
        UserError: it is no rig's file, or the rig's kind or period is another than the journal's.
    """
    there = _MODELS.get(header.parsed_signals.observation[0].unit)
    asked = _model_in(read_table(path))
    if not isinstance(asked, str) or asked not in _KINDS:
        return load_rig(path)  # which says what is wrong with it
    mend = "give --rig the file of the rig that the trial ran on"
    if there is not None and asked != there:
        raise UserError(
            f"{config.journal} is of {_KINDS[there]} ({header.rig}), but {path} describes "
            f"{_KINDS[asked]}; {mend}"
        )
    whole = whole_rig_of(path, asked)
    its, period_us = header.rig_constants.period_us, round(whole.rig.period_s * 1e6)
    if its != period_us:
        raise UserError(
            f"{config.journal} has a control period of {its / 1e3:g} ms, but period_s in {path} "
            f"makes it {period_us / 1e3:g} ms; {mend}"
        )
    if whole.guessed:
        warn(
            f"{path} does not give {', '.join(whole.guessed)}; the fit starts from the middle of "
            f"what people build{_staying(whole.guessed)}"
        )
    return whole.rig


def _staying(guessed: Sequence[str]) -> str:
    """Return in words what was guessed and no journal can correct."""
    kept = [name for name in _NOT_FITTED if name in guessed]
    if not kept:
        return ""
    stay, them = ("stays", "it") if len(kept) == 1 else ("stay", "them")
    return f"; {' and '.join(kept)} cannot be fitted and {stay} there: add {them}"


def _model_in(table: dict[str, Any]) -> object:
    """Return the model that a rig's file names, or that its keys are of: an arm alone has a
    length."""
    base = table.get("base")
    has_arm = isinstance(base, dict) and "length_m" in base
    return table.get("model", ROTARY if has_arm else LINEAR)


def _result(found: Fit, rig: Path, picture: Path) -> dict[str, Any]:
    was = start(found.guess.base).values
    parameters = {
        key(unknown): {
            "value": found.guess.values[index],
            "low": found.low[index],
            "high": found.high[index],
            "unit": unknown.unit,
            "was": was[index] if unknown.section else None,
            "meaning": unknown.meaning,
        }
        for index, unknown in enumerate(UNKNOWNS)
    }
    base, pole = found.residual_counts
    return {
        "rig": str(rig),
        "picture": str(picture),
        "parameters": parameters,
        "residual_counts": {"base": base, "pole": pole},
        "windows": found.windows,
        "iterations": found.iterations,
        "converged": found.converged,
        "note": _note(found),
        "table": _table(parameters),
    }


def _note(found: Fit) -> str:
    if not found.converged:
        return "not converged: start from a closer rig file, with --rig"
    worst = max(found.residual_counts)
    if worst > POOR_FIT_COUNTS:
        return (
            f"{worst:.1f} counts of residual, where quantisation leaves 0.3: the model lacks "
            "something of this rig (play, slip, a loose belt?); take the intervals with care"
        )
    return "the pole's mass and the back-EMF were not fitted; the starting rig file gives them"


def _table(parameters: dict[str, dict[str, Any]]) -> list[list[str]]:
    rows = [["what", "found", "95 % interval", "rig file", "unit"]]
    for name, found in parameters.items():
        before = "" if found["was"] is None else f"{found['was']:.6g}"
        interval = f"{found['low']:.6g} to {found['high']:.6g}"
        rows.append([name, f"{found['value']:.6g}", interval, before, found["unit"]])
    return rows
