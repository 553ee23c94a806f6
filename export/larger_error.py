"""The mend for a policy that is further from its source than is allowed: the `--error` that allows
it."""

from __future__ import annotations

import math

_FLOAT32 = "take an encoding in float32"
_REPORT = "export it in other nodes and report this"


def larger_error(needed: float, *, is_rounded: bool) -> str:
    """Return what to do, as the end of a message.

    Args:
        needed: the error, in `--error`'s units; not finite where no limit would allow it.
        is_rounded: whether the encoding rounds, so that one in float32 is nearer.
    """
    if not math.isfinite(needed):
        return _FLOAT32 if is_rounded else _REPORT
    if is_rounded and needed > 1:
        return f"that is more than the action's whole range: {_FLOAT32}"
    larger = (
        f"give an --error of at least {_rounded_up(needed)} if that is small enough for the plant"
    )
    return f"{larger}, or {_FLOAT32}" if is_rounded else larger


def _rounded_up(number: float) -> str:
    """Return two digits that are no less than the number."""
    shown = f"{number:.1e}"
    if float(shown) < number:
        shown = f"{number + 0.5 * 10 ** int(shown.split('e')[1]) / 10:.1e}"
    return f"{float(shown):g}"
