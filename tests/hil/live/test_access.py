"""Who gets at the live page: nobody without its token, no foreign page, one server a port."""

from __future__ import annotations

import http.client
import http.server
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from playwright.sync_api import Page

from sparsectl.common.errors import UserError
from sparsectl.hil.live.feed import LiveFeed
from sparsectl.hil.live.server import LivePage
from sparsectl.plants.rig import load_rig
from tests.hil.live.live_trial import PATIENCE_S, until
from tests.hil.policies import RIG


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
    other = cookie[:-1] + ("y" if cookie.endswith("x") else "x")
    assert answer(url, path, Cookie=other)[0] == 403
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
    reported = Path(f"/proc/{child.pid}/cmdline").read_bytes().decode()
    secrets = (url.split("=")[1], path.strip("/"), cookie.split("=")[1])
    assert not any(secret in reported for secret in secrets)  # what every user can read


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
