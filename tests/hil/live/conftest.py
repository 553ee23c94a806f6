"""A real browser, and the live page that it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from sparsectl.firmware_host.tools import find_tool
from sparsectl.hil.live.feed import LiveFeed
from sparsectl.hil.live.server import LivePage
from sparsectl.plants.rig import load_rig
from tests.hil.live.live_trial import PATIENCE_S, PYTEST_MARK
from tests.hil.policies import RIG
from tests.tools import need


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_tool("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[[str], Page]]:
    context = browser.new_context()

    def opened(url: str) -> Page:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1e3)
        page.goto(url)
        expect(page.locator("#estop")).to_be_visible(timeout=PATIENCE_S * 1e3)
        return page

    yield opened
    context.close()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[LivePage, LiveFeed]]:
    """A page without a trial, and the trial's end of its channel."""
    monkeypatch.delenv(PYTEST_MARK)
    page = LivePage(0, load_rig(RIG), "device")
    with page as feed:
        yield page, feed
