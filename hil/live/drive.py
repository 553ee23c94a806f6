"""Where a trial and its live page meet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sparsectl.hil.drives import Drive
from sparsectl.hil.link import Link
from sparsectl.hil.live.feed import LiveFeed
from sparsectl.hil.live.server import LivePage
from sparsectl.hil.plan import Plan
from sparsectl.hil.safety import InterruptGuard
from sparsectl.hil.samples import Sample

ESTOP_BUTTON = "the e-stop on the live page"


@contextmanager
def live_feed(plan: Plan, guard: InterruptGuard) -> Iterator[LiveFeed | None]:
    """The feed of a trial's live page, its e-stop before the guard; None when none is asked for.

    Raises:
        UserError: the page cannot be served.
    """
    if not plan.config.live:
        yield None
        return
    page = LivePage(plan.config.live_port, plan.rig, plan.config.mode)
    with page as feed:
        guard.add_button(ESTOP_BUTTON, lambda: feed.asked("estop"))
        print(f"live page: {page.url} (press Arm there)", file=sys.stderr, flush=True)
        try:
            yield feed
        except Exception as error:
            feed.end(str(error))
            raise


class ShownDrive:
    """A drive whose ticks the live page gets too."""

    def __init__(self, drive: Drive, feed: LiveFeed, link: Link) -> None:
        self._drive, self._feed, self._link = drive, feed, link

    def advance(self) -> list[Sample]:
        """As the drive's own."""
        samples = self._drive.advance()
        for sample in samples:
            self._feed.show(sample, self._link.counters.to_json)
        return samples
