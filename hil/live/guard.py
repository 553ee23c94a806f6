"""Who may talk to the live page: who was given its printed address, from the page itself.

The page can arm a motor, so three things have to be kept from it:

* web sites open in another tab: cross-site requests and WebSockets carry their Origin, a site whose
  name resolves to this machine (DNS rebinding) its name in Host (`LoopbackOnly`);
* other users and programs of this machine, and pages that they serve on another port, for which a
  browser knows no other site: the printed address has a token, and everything lies under a path
  and wants a cookie that only this address gives (`TokenGate`). The cookie is for that path alone,
  or a browser would show it to every port of this machine;
* a click that was meant for something else: the page is shown in no frame.

The emergency stop alone wants no cookie, only the path: a person must not lose it with a cookie.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import asdict, dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

NAMES = ("127.0.0.1", "localhost")
COOKIE: Final = "sparsectl_live"
STOP_PATH: Final = "/stop"
_PREFIX: Final = b"x-forwarded-prefix"
"""The header by which NiceGUI learns the path that it is served under."""
_SECURITY: Final = (
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def _secret() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Access:
    """The secrets of one page, drawn anew for each trial."""

    token: str = field(default_factory=_secret)
    """Secret in the printed address."""
    path: str = field(default_factory=_secret)
    """Under which everything is served."""
    cookie: str = field(default_factory=_secret)
    """The cookie that a browser got with the token."""

    def to_json(self) -> str:
        """Return the secrets for the page's process; they must never be among its arguments, which
        every user can read."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Access:
        """Return the object from what `to_json` returned."""
        return cls(**json.loads(text))


class LoopbackOnly:
    """ASGI middleware: 403 for requests and WebSockets of another origin or under another name."""

    def __init__(self, app: App, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in NAMES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or self.allows(scope["headers"]):
            await self._app(scope, receive, send)
        else:
            await _refuse(scope, receive, send, "only this machine, only this page")

    def allows(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether the Host header, and the Origin header where there is one, are this
        page's."""
        hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
        origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
        return (
            len(hosts) == 1
            and hosts[0] in self._hosts
            and all(self._is_ours(origin) for origin in origins)
        )

    def _is_ours(self, origin: str) -> bool:
        parts = urlsplit(origin)
        return parts.scheme == "http" and parts.netloc in self._hosts


class TokenGate:
    """ASGI middleware: the token gets a browser in, the cookie and the path keep it in."""

    def __init__(self, app: App, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "http":
            send = _secured(send)
        if self._has_token(scope):
            await self._let_in(send)
        elif self._may_pass(scope):
            await self._app(self._below(scope), receive, send)
        else:
            await _refuse(scope, receive, send, "open the address that the trial printed")

    def _has_token(self, scope: Scope) -> bool:
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])
        is_entry = scope["type"] == "http" and scope["path"] == "/"
        return is_entry and _same(given[0], self._access.token)

    def _may_pass(self, scope: Scope) -> bool:
        first, _, rest = scope["path"].removeprefix("/").partition("/")
        if not _same(first, self._access.path):
            return False
        return f"/{rest}" == STOP_PATH or _same(_cookie(scope["headers"]), self._access.cookie)

    def _below(self, scope: Scope) -> Scope:
        """Return the request as the page's server has to see it: at the root, with its prefix."""
        prefix = f"/{self._access.path}"
        headers = [(name, value) for name, value in scope["headers"] if name != _PREFIX]
        headers.append((_PREFIX, prefix.encode("ascii")))
        path = scope["path"].removeprefix(prefix) or "/"
        return {**scope, "headers": headers, "path": path, "raw_path": path.encode("utf-8")}

    async def _let_in(self, send: Send) -> None:
        """Give the cookie and lead on. Not by a redirect: a browser that came from another site's
        link would leave out the cookie there."""
        place = f"/{self._access.path}/"
        cookie = f"{COOKIE}={self._access.cookie}; Path={place}; HttpOnly; SameSite=Strict"
        page = f'<!doctype html><meta http-equiv="refresh" content="0; url={place}">'
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"set-cookie", cookie.encode("ascii")),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page.encode("ascii")})


def _secured(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_SECURITY]}
        await send(message)

    return sending


def _cookie(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name != b"cookie":
            continue
        try:
            morsel = SimpleCookie(value.decode("latin-1")).get(COOKIE)
        except CookieError:
            continue
        if morsel is not None:
            return morsel.value
    return ""


def _same(given: str, wanted: str) -> bool:
    """Compare two texts in a time that reveals nothing of the secret."""
    return secrets.compare_digest(given.encode("utf-8"), wanted.encode("utf-8"))


async def _refuse(scope: Scope, receive: Receive, send: Send, why: str) -> None:
    if scope["type"] == "http":
        headers = [(b"content-type", b"text/plain"), *_SECURITY]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": why.encode("ascii")})
    else:
        await receive()
        await send({"type": "websocket.close", "code": 1008})
