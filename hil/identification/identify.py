"""`sparsectl identify`: estimate a rig's parameters from one journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path
from sparsectl.common.progress import Progress
from sparsectl.common.warning import warn
from sparsectl.hil.config import IdentifyConfig
from sparsectl.hil.identification.fit import Fit, fit
from sparsectl.hil.identification.picture import draw
from sparsectl.hil.identification.rig_file import counts_per_turn, rig_toml
from sparsectl.hil.identification.unknowns import UNKNOWNS, key, start
from sparsectl.hil.identification.windows import cut
from sparsectl.hil.journal.journal import read_and_warn
from sparsectl.hil.journal.trace import read_samples
from sparsectl.plants.rig import load_rig

POOR_FIT_COUNTS = 3.0
"""With larger residuals, the model does not describe the rig."""


def identify(config: IdentifyConfig) -> dict[str, Any]:
    """Fit the simulator to a journal; write a rig file and a picture beside it.

    Returns:
        rig and picture (paths), parameters (by name: value, low, high, unit, was, meaning),
        residual_counts, windows, iterations, converged, note.

    Raises:
        UserError: no journal, no such rig, too little motion in it, or a file that cannot be
            written.
    """
    journal = read_and_warn(config.journal)
    rig = load_rig(config.rig or journal.header.config.rig or journal.header.rig)
    if config.out.suffix != ".toml":
        raise UserError(f"--out is {config.out}; name a rig file, such as my_rig.toml")
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
