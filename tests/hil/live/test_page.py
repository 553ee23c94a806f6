"""The live page in a real browser, beside a real trial."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.journal.trace import Sample, read_samples
from sparsectl.hil.live.feed import LiveFeed
from sparsectl.hil.live.server import LivePage
from sparsectl.plants.rig import load_rig
from sparsectl.protocol.wire import Fault, State
from tests.hil.busy import in_real_time
from tests.hil.live.live_trial import PATIENCE_S, PYTEST_MARK, LiveTrial, live_trial, until
from tests.hil.policies import RIG

PRESSES = 6


def shows(page: Page, state: str) -> bool:
    return page.locator("#state").inner_text() == state


def expect_state(page: Page, state: str, trial: LiveTrial) -> None:
    """Wait until the page shows the state, unless the trial ends, which tells whether the machine
    was late."""
    assert until(lambda: shows(page, state) or trial.has_ended), page.locator("#state").inner_text()
    if trial.has_ended:
        trial.end(0)


def arm(page: Page, trial: LiveTrial) -> None:
    """Press Arm until the trial is ACTIVE: on a busy machine the page is loaded anew meanwhile, and
    forgets a press."""

    for _ in range(PRESSES):
        page.click("#arm")
        if until(lambda: not shows(page, "HOMED") or trial.has_ended, PATIENCE_S / PRESSES):
            break
    expect_state(page, "ACTIVE", trial)


def ends(journal: Path) -> list[dict[str, object]]:
    return read_journal(journal).notes("end")


def test_arm_then_estop_stops_the_motor(
    timid: Path, tmp_path: Path, open_page: Callable[[str], Page]
) -> None:
    def stopped(number: int) -> LiveTrial:
        with live_trial(timid, tmp_path / f"trial{number}") as trial:
            page = open_page(trial.url)
            expect_state(page, "HOMED", trial)
            arm(page, trial)
            page.click("#estop")
            reported = page.get_by_text("ended: the e-stop on the live page; motor off")
            expect(reported).to_be_visible()
            assert "the e-stop on the live page: motor off" in trial.end(130)
            return trial

    trial = in_real_time(stopped)
    [end] = ends(trial.journal)
    assert (end["state"], end["fault"]) == (State.FAULT.name, Fault.ESTOP.name)
    samples = read_samples(read_journal(trial.journal))
    assert any(sample.state == State.ACTIVE for sample in samples)


def test_a_window_that_becomes_narrow_shows_all(
    served: tuple[LivePage, LiveFeed], open_page: Callable[[str], Page]
) -> None:
    """As a phone that is turned: the charts were drawn for a wider one."""
    shown = open_page(served[0].url)
    shown.set_viewport_size({"width": 1200, "height": 800})
    expect(shown.locator(".chart svg")).to_have_count(2)
    shown.set_viewport_size({"width": 360, "height": 740})
    width = "document.documentElement.scrollWidth"
    assert until(lambda: shown.evaluate(width) == 360), shown.evaluate(width)


CONTROLS = ("#arm", "#disarm", "#state", "svg[role=img]", ".chart >> nth=0", ".chart >> nth=1")
KEYS = ("Space", "Enter", "Escape", "NumpadEnter")


def test_every_key_stops_wherever_the_focus_is(
    served: tuple[LivePage, LiveFeed], open_page: Callable[[str], Page]
) -> None:
    """After a click on every control; and no key presses what has the focus."""
    page, feed = served
    shown = open_page(page.url)
    for control in CONTROLS:
        for key in KEYS:
            shown.click(control)
            if control in ("#arm", "#disarm"):
                assert until(lambda: feed.asked(control[1:])), control  # noqa: B023
            shown.keyboard.press(key)
            assert until(lambda: feed.asked("estop")), (control, key)
    shown.click("#estop")
    assert until(lambda: feed.asked("estop"))
    shown.keyboard.press("x")
    shown.keyboard.press("Tab")
    time.sleep(0.3)
    while feed.asked("estop"):  # each key has two ways, and one may come late
        pass
    assert not feed.asked("arm") and not feed.asked("disarm")


def test_a_press_stops_before_the_release(
    served: tuple[LivePage, LiveFeed], open_page: Callable[[str], Page]
) -> None:
    page, feed = served
    shown = open_page(page.url)
    shown.hover("#estop")
    shown.mouse.down()
    assert until(lambda: feed.asked("estop"))


def test_a_key_stops_the_motor_after_arm(
    timid: Path, tmp_path: Path, open_page: Callable[[str], Page]
) -> None:
    """The Arm button still has the focus."""

    def stopped(number: int) -> LiveTrial:
        with live_trial(timid, tmp_path / f"trial{number}") as trial:
            page = open_page(trial.url)
            expect_state(page, "HOMED", trial)
            arm(page, trial)
            page.keyboard.press("Space")
            assert "the e-stop on the live page: motor off" in trial.end(130)
            expect(page.locator("table")).to_contain_text("the trial has ended")
            expect(page.locator("#fault")).to_have_text("ESTOP")
            return trial

    trial = in_real_time(stopped)
    [end] = ends(trial.journal)
    assert (end["state"], end["fault"]) == (State.FAULT.name, Fault.ESTOP.name)


def test_disarm(timid: Path, tmp_path: Path, open_page: Callable[[str], Page]) -> None:
    def disarmed(number: int) -> LiveTrial:
        with live_trial(timid, tmp_path / f"disarmed{number}") as trial:
            page = open_page(trial.url)
            expect_state(page, "HOMED", trial)
            arm(page, trial)
            page.click("#disarm")
            trial.end(0)
            return trial

    trial = in_real_time(disarmed)
    [end] = ends(trial.journal)
    assert end["why"] == "disarmed on the live page"
    assert end["fault"] == Fault.NONE.name


@pytest.mark.parametrize(
    ("loss", "why"),
    [
        ("killed", "its process has ended"),
        ("asleep", "nothing heard from it for 0.[45] s"),
        # On a busy machine the page's last sign is 0.5 s old before the browser's end is known.
        ("closed", r"(no browser shows it any more|nothing heard from it for 0\.[45] s)"),
    ],
)
def test_the_loss_of_the_page_stops_the_motor(
    timid: Path, tmp_path: Path, open_page: Callable[[str], Page], loss: str, why: str
) -> None:
    def lost(number: int) -> LiveTrial:
        with live_trial(timid, tmp_path / f"trial{number}") as trial:
            page = open_page(trial.url)
            expect_state(page, "HOMED", trial)
            arm(page, trial)
            expect(page.locator("#lost")).not_to_be_visible()
            process = trial.page_process()
            if loss == "closed":
                page.close()
            else:
                os.kill(process, signal.SIGKILL if loss == "killed" else signal.SIGSTOP)
                expect(page.locator("#lost")).to_be_visible()
                shown = page.locator(".shown").evaluate("e => getComputedStyle(e).filter")
                assert "grayscale" in shown
            errors = trial.end(4)
        ended = rf"trial ended by the loss of the live page \({why}\): motor off"
        assert re.search(ended, errors), errors
        return trial

    trial = in_real_time(lost)
    [end] = ends(trial.journal)
    assert (end["state"], end["fault"]) == (State.FAULT.name, Fault.ESTOP.name)


def test_who_wants_it_goes_on_without_the_page(
    timid: Path, tmp_path: Path, open_page: Callable[[str], Page]
) -> None:
    more = ("--live-loss", "continue", "--swing-up-limit-s", "4")

    def left_alone(number: int) -> tuple[LiveTrial, str]:
        with live_trial(timid, tmp_path / f"trial{number}", *more) as trial:
            page = open_page(trial.url)
            expect_state(page, "HOMED", trial)
            arm(page, trial)
            os.kill(trial.page_process(), signal.SIGKILL)
            return trial, trial.end(0)

    trial, errors = in_real_time(left_alone)
    assert errors.count("the live page is lost (its process has ended); the trial continues") == 1
    [end] = ends(trial.journal)
    assert end["why"] == "the pole was not up within 4 s"


def test_a_page_whose_trial_is_gone_says_so(
    timid: Path, tmp_path: Path, open_page: Callable[[str], Page]
) -> None:
    with live_trial(timid, tmp_path / "trial") as trial:
        page = open_page(trial.url)
        expect_state(page, "HOMED", trial)
        lost = page.locator("#lost")
        expect(lost).not_to_be_visible()
        trial.process.send_signal(signal.SIGSTOP)
        expect(lost).to_be_visible()
        expect(lost).to_contain_text("No word from the trial")
        trial.process.send_signal(signal.SIGCONT)
        expect(lost).not_to_be_visible()
        trial.process.send_signal(signal.SIGKILL)
        expect(lost).to_be_visible()


def test_a_page_that_dies_before_arming_ends_the_trial(timid: Path, tmp_path: Path) -> None:
    """Nobody could press Arm any more, whatever --live-loss says."""
    with live_trial(timid, tmp_path / "trial", "--live-loss", "continue") as trial:
        os.kill(trial.page_process(), signal.SIGKILL)
        errors = trial.end(4)
    assert re.search(r"loss of the live page \(.*\) before the motor was armed", errors), errors
    assert not trial.journal.exists()


def sample_at(tick: int) -> Sample:
    return Sample(
        tick, tick * 20_000, 0, 0, 0, 0.0, 0.0, 2000, 60, 3, int(State.ACTIVE), int(Fault.NONE), 0
    )  # fmt: skip


def test_a_page_that_sleeps_takes_nothing_of_the_loops_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(PYTEST_MARK)
    page = LivePage(0, load_rig(RIG), "device")
    with page as feed:
        child = page._child
        assert child is not None
        os.kill(child.pid, signal.SIGSTOP)
        for tick in range(20_000):
            feed._sent_ns = 0  # each tick is sent at once, so that the socket fills
            feed.show(sample_at(tick), dict)  # would never return if it waited
        assert feed._channel.dropped > 0
        os.kill(child.pid, signal.SIGKILL)
        feed.show(sample_at(20_000), dict)
        assert not feed.asked("estop")
