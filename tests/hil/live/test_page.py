"""The live page in a real browser, beside a real trial."""

from __future__ import annotations

import http.client
import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.tools import find_tool
from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.journal.trace import Sample, read_samples
from sparsectl.hil.live.feed import LiveFeed
from sparsectl.hil.live.server import LivePage
from sparsectl.plants.rig import load_rig
from sparsectl.protocol.wire import Fault, State
from tests.hil.policies import RIG
from tests.tools import need

ROOT = Path(__file__).parents[3]


PATIENCE_S = 90.0
PYTEST_MARK = "PYTEST_CURRENT_TEST"
"""NiceGUI serves otherwise where it sees this variable, which children inherit."""


@dataclass
class LiveTrial:
    """A trial in a process of its own, with its page's address."""

    process: subprocess.Popen[str]
    url: str
    journal: Path

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said."""
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, errors

    def page_process(self) -> int:
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for child in map(int, task.read_text().split()):
            if b"sparsectl.hil.live.page" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
        raise AssertionError("the page has no process")


@contextmanager
def live_trial(policy: Path, out: Path, *more: str) -> Iterator[LiveTrial]:
    command = [sys.executable, "-m", "sparsectl", "trial", "--policy", str(policy)]
    command += ["--out", str(out)]
    command += ["--live", "--live-port", "0", "--no-report", "--swing-up-limit-s", "60", *more]
    command += ["--link-timeout-ticks", "10"]  # a busy machine is no fault here
    command += ["--firmware", str(policy.parent / "firmware")]  # built once
    environment = {name: value for name, value in os.environ.items() if name != PYTEST_MARK}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line)
        assert found, line + process.stderr.read()
        yield LiveTrial(process, found[0], out / "journal.bin")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


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


def expect_state(page: Page, state: str) -> None:
    expect(page.locator("#state")).to_have_text(state, timeout=PATIENCE_S * 1e3)


def ends(journal: Path) -> list[dict[str, object]]:
    return read_journal(journal).notes("end")


def test_arm_then_estop_stops_the_motor(
    timid: Path, tmp_path: Path, open_page: Callable[[str], Page]
) -> None:
    with live_trial(timid, tmp_path / "trial") as trial:
        page = open_page(trial.url)
        expect_state(page, "HOMED")
        page.click("#arm")
        expect_state(page, "ACTIVE")
        page.click("#estop")
        code, errors = trial.end()
    assert code == 130 and "the e-stop on the live page: motor off" in errors
    [end] = ends(trial.journal)
    assert (end["state"], end["fault"]) == (State.FAULT.name, Fault.ESTOP.name)
    samples = read_samples(read_journal(trial.journal))
    assert any(sample.state == State.ACTIVE for sample in samples)


CONTROLS = ("#arm", "#disarm", "#state", "svg[role=img]", ".chart >> nth=0", ".chart >> nth=1")
KEYS = ("Space", "Enter", "Escape", "NumpadEnter")


def until(happens: Callable[[], bool]) -> bool:
    """Whether it has happened in good time."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        if happens():
            return True
        time.sleep(0.01)
    return False


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
    with live_trial(timid, tmp_path / "trial") as trial:
        page = open_page(trial.url)
        expect_state(page, "HOMED")
        page.click("#arm")
        expect_state(page, "ACTIVE")
        page.keyboard.press("Space")
        code, errors = trial.end()
        expect(page.locator("table")).to_contain_text("the trial has ended")
        expect(page.locator("#fault")).to_have_text("ESTOP")
    assert code == 130 and "the e-stop on the live page: motor off" in errors
    [end] = ends(trial.journal)
    assert (end["state"], end["fault"]) == (State.FAULT.name, Fault.ESTOP.name)


def test_disarm(timid: Path, tmp_path: Path, open_page: Callable[[str], Page]) -> None:
    with live_trial(timid, tmp_path / "disarmed") as trial:
        page = open_page(trial.url)
        expect_state(page, "HOMED")
        page.click("#arm")
        expect_state(page, "ACTIVE")
        page.click("#disarm")
        code, _ = trial.end()
    [end] = ends(trial.journal)
    assert code == 0 and end["why"] == "disarmed on the live page"
    assert end["fault"] == Fault.NONE.name


@pytest.mark.parametrize(
    ("loss", "why"),
    [
        ("killed", "its process has ended"),
        ("asleep", "no sign of it for 0.[45] s"),
        ("closed", "no browser shows it any more"),
    ],
)
def test_the_loss_of_the_page_stops_the_motor(
    timid: Path, tmp_path: Path, open_page: Callable[[str], Page], loss: str, why: str
) -> None:
    with live_trial(timid, tmp_path / "trial") as trial:
        page = open_page(trial.url)
        expect_state(page, "HOMED")
        page.click("#arm")
        expect_state(page, "ACTIVE")
        expect(page.locator("#lost")).not_to_be_visible()
        process = trial.page_process()
        if loss == "closed":
            page.close()
        else:
            os.kill(process, signal.SIGKILL if loss == "killed" else signal.SIGSTOP)
            expect(page.locator("#lost")).to_be_visible()
            assert "grayscale" in page.locator(".shown").evaluate("e => getComputedStyle(e).filter")
        code, errors = trial.end()
    assert code == 4
    assert re.search(rf"trial ended by the loss of the live page \({why}\): motor off", errors)
    [end] = ends(trial.journal)
    assert (end["state"], end["fault"]) == (State.FAULT.name, Fault.ESTOP.name)


def test_who_wants_it_goes_on_without_the_page(
    timid: Path, tmp_path: Path, open_page: Callable[[str], Page]
) -> None:
    more = ("--live-loss", "continue", "--swing-up-limit-s", "4")
    with live_trial(timid, tmp_path / "trial", *more) as trial:
        page = open_page(trial.url)
        expect_state(page, "HOMED")
        page.click("#arm")
        expect_state(page, "ACTIVE")
        os.kill(trial.page_process(), signal.SIGKILL)
        code, errors = trial.end()
    assert code == 0
    assert errors.count("the live page is lost (its process has ended); the trial goes on") == 1
    [end] = ends(trial.journal)
    assert end["why"] == "the pole was not up within 4 s"


def test_a_page_whose_trial_is_gone_says_so(
    timid: Path, tmp_path: Path, open_page: Callable[[str], Page]
) -> None:
    with live_trial(timid, tmp_path / "trial") as trial:
        page = open_page(trial.url)
        expect_state(page, "HOMED")
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
        code, errors = trial.end()
    assert code == 4
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
            feed.show(sample_at(tick), dict)  # would never return if it waited
        assert feed._channel.dropped >= 0
        os.kill(child.pid, signal.SIGKILL)
        feed.show(sample_at(20_000), dict)
        assert not feed.asked("estop")


def answer(
    url: str, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage]:
    """The status of a request, and the answer's headers."""
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=PATIENCE_S)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    response = connection.getresponse()
    connection.close()
    return response.status, response.headers


def let_in(url: str) -> tuple[str, str]:
    """The path that the token leads to, and the cookie."""
    status, headers = answer(url, url[url.index("/", 8) :])
    given = headers["Set-Cookie"]
    assert status == 200 and "HttpOnly" in given and "SameSite=Strict" in given
    cookie, _, rest = given.partition("; ")
    return rest.split("Path=")[1].split(";")[0], cookie


SOCKET = "_nicegui_ws/socket.io/?EIO=4&transport=websocket"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def test_other_origins_and_names_are_refused(served: tuple[LivePage, LiveFeed]) -> None:
    page, _ = served
    url, own = page.url, page.url.split("/?")[0]
    path, cookie = let_in(url)
    inside = {"Cookie": cookie}
    assert answer(url, path, **inside)[0] == 200
    assert answer(url, path, Origin=own, **inside)[0] == 200
    assert answer(url, path, Origin="http://elsewhere.example", **inside)[0] == 403
    assert answer(url, path, Host="elsewhere.example", **inside)[0] == 403
    place, polling = path + SOCKET, path + SOCKET.replace("websocket", "polling")
    assert answer(url, place, Origin=own, **UPGRADE, **inside)[0] == 101
    assert answer(url, place, Origin="http://elsewhere.example", **UPGRADE, **inside)[0] == 403
    assert answer(url, polling, Origin="http://elsewhere.example", **inside)[0] == 403
    with pytest.raises(ConnectionRefusedError):  # another address of the same machine
        socket.create_connection(("127.0.0.2", page.port), timeout=5)


def test_nothing_is_to_be_had_without_the_token(served: tuple[LivePage, LiveFeed]) -> None:
    page, feed = served
    url, own = page.url, page.url.split("/?")[0]
    path, cookie = let_in(url)
    assert answer(url, "/")[0] == 403
    assert answer(url, "/?token=" + "A" * 32)[0] == 403
    assert answer(url, "/" + SOCKET, Origin=own, **UPGRADE)[0] == 403
    assert answer(url, "/" + SOCKET, Origin=own, Cookie=cookie, **UPGRADE)[0] == 403
    assert answer(url, path)[0] == 403
    assert answer(url, path + SOCKET, Origin=own, **UPGRADE)[0] == 403
    assert answer(url, path, Cookie=cookie[:-1] + "x")[0] == 403
    status, headers = answer(url, path, Cookie=cookie)
    assert status == 200
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert headers["X-Frame-Options"] == "DENY"
    assert not feed.asked("estop")
    assert answer(url, "/stop", method="POST")[0] == 403
    assert answer(url, path + "stop", method="POST")[0] == 204  # no cookie: not to be lost
    assert until(lambda: feed.asked("estop"))
    child = page._child
    assert child is not None
    told = Path(f"/proc/{child.pid}/cmdline").read_bytes().decode()
    secrets = (url.split("=")[1], path.strip("/"), cookie.split("=")[1])
    assert not any(secret in told for secret in secrets)  # what every user can read


class Foreign(http.server.BaseHTTPRequestHandler):
    """Another user's page on another port of this machine, with the live page in a frame."""

    framed = ""
    cookies: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.cookies.append(self.headers.get("Cookie", ""))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(f"<iframe id=f width=900 height=900 src='{self.framed}'>".encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_foreign_page_gets_neither_the_frame_nor_the_cookie(
    served: tuple[LivePage, LiveFeed], open_page: Callable[[str], Page]
) -> None:
    page, feed = served
    shown = open_page(page.url)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Foreign.framed = shown.url  # even if it knew the path
        shown.goto(f"http://127.0.0.1:{server.server_port}/")
        frame = shown.frame_locator("#f")
        shown.wait_for_load_state("networkidle")
        assert frame.locator("#arm").count() == 0
        shown.mouse.click(450, 450)
        assert Foreign.cookies and not any(Foreign.cookies)
        server.shutdown()
    assert not feed.asked("arm")


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--live-port {port} is taken"):
            LivePage(port, load_rig(RIG), "device").__enter__()
