"""Wait between trials on one rig until the pole hangs still; the board keeps its home position."""

from __future__ import annotations

from sparsectl.common.errors import UserError
from sparsectl.common.progress import Progress
from sparsectl.hil.drives.drives import Drive
from sparsectl.hil.journal.trace import Sample

DITHER = 1
"""Counts by which an encoder at rest may flicker."""
STILL_S = 1.0


def await_rest(drive: Drive, limit_s: float, first: Sample | None = None) -> Sample:
    """Run ticks until base and pole have stood still for a second; return the last one.

    Raises:
        UserError: they move after `limit_s` of the board's time.
    """
    anchor, started_us = first, first.time_us if first else None
    with Progress(total=limit_s, desc="come to rest", unit="s", leave=False) as bar:
        while True:
            for sample in drive.advance():
                if anchor is None or _moved(sample, anchor):
                    anchor = sample
                if sample.time_us - anchor.time_us >= STILL_S * 1e6:
                    return sample
                started_us = sample.time_us if started_us is None else started_us
                waited_s = (sample.time_us - started_us) * 1e-6
                bar.n = min(limit_s, round(waited_s, 1))
                bar.update(0)
                if waited_s > limit_s:
                    raise UserError(
                        f"base and pole are not at rest after {limit_s:g} s; hold the pole still, "
                        "or give --rest-limit-s more, then run the same command again"
                    )


def _moved(sample: Sample, anchor: Sample) -> bool:
    return (
        abs(sample.base_count - anchor.base_count) > DITHER
        or abs(sample.pole_count - anchor.pole_count) > DITHER
    )
