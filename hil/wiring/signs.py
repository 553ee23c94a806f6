"""A rig file with the signs that were found: the person's own text, a minus put in or taken out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path
from sparsectl.plants.rig import Rig, load_rig


def write_signs(source: Path, out: Path, flip_base: bool, flip_pole: bool) -> Rig:
    """Write `source` to `out` with the sign of each encoder that is to flip; the rig that it is.

    Raises:
        UserError: `out` is there already or cannot be written, or the text has no such line.
    """
    if out.exists():
        raise UserError(f"{out} already exists; name another folder with --out")
    text, rig = source.read_text(encoding="utf-8"), load_rig(source)
    wanted = replace(rig, name=out.stem)
    if flip_base:
        text = _flipped(text, "unit_per_count")
        base = replace(rig.base, unit_per_count=-rig.base.unit_per_count)
        wanted = replace(wanted, base=base)
    if flip_pole:
        text = _flipped(text, "counts_per_turn")
        pole = replace(rig.pole, counts_per_turn=-rig.pole.counts_per_turn)
        wanted = replace(wanted, pole=pole)
    with atomic_path(out) as path:
        path.write_text(text, encoding="utf-8")
        found = replace(load_rig(path), name=out.stem)
        if found != wanted:
            raise UserError(
                f"{source} cannot be edited: its signs are not where they usually are; change the "
                "sign of "
                + " and of ".join(
                    ["[base] unit_per_count"] * flip_base + ["[pole] counts_per_turn"] * flip_pole
                )
                + " yourself"
            )
    return found


def _flipped(text: str, key: str) -> str:
    """Return the line `key = number` with the number's sign changed."""

    def flip(match: re.Match[str]) -> str:
        head, sign, spaces = match.groups()
        return head + ("" if sign == "-" else "-") + spaces

    return re.sub(rf"(?m)^(\s*{key}\s*=\s*)([+-]?)(\s*)(?=[\d.])", flip, text, count=1)
