"""The live page in a real browser, beside a real trial."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.tools import find_tool
from sparsectl.firmware_host.wire import Fault, State
from sparsectl.hil.journal import read_journal
from sparsectl.hil.live.server import LivePage
from sparsectl.hil.samples import Sample, read_samples
from sparsectl.training.plants.rig import load_rig
from tests.hil.policies import RIG
from tests.tools import need

ROOT = Path(__file__).parents[3]


PATIENCE_S = 30.0
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
    environment = {name: value for name, value in os.environ.items() if name != PYTEST_MARK}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line + process.stderr.read()
        yield LiveTrial(process, found[0], out / "journal.bin")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture(scope="module")
def open_page() -> Iterator[Callable[[str], Page]]:
    need("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_tool("chromium"), args=["--no-sandbox"]
        )

        def opened(url: str) -> Page:
            page = browser.new_page()
            page.set_default_timeout(PATIENCE_S * 1e3)
            page.goto(url)
            return page

        yield opened
        browser.close()


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


def test_keys_and_disarm(timid: Path, tmp_path: Path, open_page: Callable[[str], Page]) -> None:
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
    with live_trial(timid, tmp_path / "key") as trial:
        page = open_page(trial.url)
        expect_state(page, "HOMED")
        page.keyboard.press("Escape")
        code, errors = trial.end()
    assert code == 130 and "e-stop" in errors


def test_a_page_that_sleeps_or_dies_does_not_touch_the_trial(timid: Path, tmp_path: Path) -> None:
    with live_trial(timid, tmp_path / "trial", "--swing-up-limit-s", "3") as trial:
        page = trial.page_process()
        connection = http.client.HTTPConnection(trial.url.split("/")[2], timeout=PATIENCE_S)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        os.kill(page, signal.SIGSTOP)
        os.kill(trial.process.pid, signal.SIGINT)  # homed and waiting for Arm: ends at once
        os.kill(page, signal.SIGKILL)
        code, errors = trial.end()
    assert code == 130 and "SIGINT" in errors


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


def answer(url: str, path: str, **headers: str) -> int:
    """The status of a request; connection closed without one counts as 403."""
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=PATIENCE_S)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


def test_other_origins_and_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PYTEST_MARK)
    page = LivePage(0, load_rig(RIG), "device")
    with page:
        url, own = page.url, page.url.rstrip("/")
        socket_path = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec_WebSocket_Version": "13",
            "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        assert answer(url, "/") == 200
        assert answer(url, "/", Origin=own) == 200
        assert answer(url, "/", Origin="http://elsewhere.example") == 403
        assert answer(url, "/", Host="elsewhere.example") == 403
        assert answer(url, socket_path, Origin=own, **upgrade) == 101
        assert answer(url, socket_path, Origin="http://elsewhere.example", **upgrade) == 403
        polling = socket_path.replace("websocket", "polling")
        assert answer(url, polling, Origin="http://elsewhere.example") == 403
        with pytest.raises(ConnectionRefusedError):  # another address of the same machine
            socket.create_connection(("127.0.0.2", page.port), timeout=5)


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--live-port {port} is taken"):
            LivePage(port, load_rig(RIG), "device").__enter__()
