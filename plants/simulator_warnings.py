"""Tell MuJoCo's warnings on stderr. By itself it appends them to `MUJOCO_LOG.TXT` in the working
folder."""

from __future__ import annotations

from contextlib import suppress

import mujoco

from sparsectl.common.warning import warn


def tell_warnings() -> None:
    """Handle MuJoCo's warnings in this process, unless somebody else does already."""
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_tell)


def _tell(text: str) -> None:
    what = text.partition("Time =")[0].strip()  # without it, one line for one cause
    if "unstable" in what:
        what += (
            " MuJoCo has set the simulation back to its start, so its results mean nothing: mend "
            "the masses, lengths, frictions or speeds of what it simulates"
        )
    with suppress(Exception):  # MuJoCo's C code, which calls this, would end the process
        warn(f"MuJoCo: {what}")
