"""Connect a trial with its live page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sparsectl.common.errors import EXIT_LINK_LOST
from sparsectl.hil.config import LiveLoss
from sparsectl.hil.drives.drives import Drive
from sparsectl.hil.drives.estop_key import HINT
from sparsectl.hil.drives.safety import InterruptGuard
from sparsectl.hil.drives.terminal import say
from sparsectl.hil.journal.trace import Sample
from sparsectl.hil.link.link import Link
from sparsectl.hil.live.feed import LiveFeed
from sparsectl.hil.live.server import LivePage
from sparsectl.hil.planning.plan import Plan

ESTOP_BUTTON = "the e-stop on the live page"


@contextmanager
def live_feed(plan: Plan, guard: InterruptGuard) -> Iterator[LiveFeed | None]:
    """Yield the feed of a trial's live page, whose e-stop is added to the guard; None if no page
    was requested.

    Raises:
        UserError: the page cannot be served.
    """
    if not plan.config.live:
        yield None
        return
    page = LivePage(plan.config.live_port, plan.rig, plan.config.mode, plan.graph.state_size)
    with page as feed:
        guard.add_button(ESTOP_BUTTON, lambda: feed.asked("estop"))
        guard.add_watch(PageWatch(feed, plan.config.live_loss).complaint, EXIT_LINK_LOST)
        say(f"live page: {page.url} (press Arm there)")
        try:
            yield feed
        except Exception as error:
            feed.end(str(error))
            raise


class PageWatch:
    """Ends a trial if its live page is lost, since a person relies on the page's e-stop."""

    def __init__(self, feed: LiveFeed, loss: LiveLoss) -> None:
        self._feed, self._continues = feed, loss == "continue"
        self._is_told = False

    def complaint(self) -> str | None:
        """Return why the trial has to end; None if it may continue."""
        lost = self._feed.lost()
        if lost is None:
            self._is_told = False
            return None
        if not (self._continues and self._feed.is_watched):  # without a page nobody can press Arm
            return f"the loss of the live page ({lost})"
        if not self._is_told:
            self._is_told = True
            say(f"the live page is lost ({lost}); the trial continues, {HINT}")
        return None


class ShownDrive:
    """A drive that also sends its ticks to the live page."""

    def __init__(self, drive: Drive, feed: LiveFeed, link: Link) -> None:
        self._drive, self._feed, self._link = drive, feed, link

    def advance(self) -> list[Sample]:
        """Advance as the drive itself does, and show its ticks."""
        samples = self._drive.advance()
        for sample in samples:
            self._feed.show(sample, self._link.counters.to_json)
        return samples
