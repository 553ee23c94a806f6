"""Who may talk to the live page: a browser on this machine, on the page itself, and nobody else.

The page can arm a motor. A web site open in another tab must not reach it (cross-site requests and
WebSockets carry its Origin), nor one whose name resolves to this machine (DNS rebinding: its name
is in Host).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

NAMES = ("127.0.0.1", "localhost")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class LoopbackOnly:
    """ASGI middleware: 403 for requests and WebSockets of another origin or under another name."""

    def __init__(self, app: App, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in NAMES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or self.allows(scope["headers"]):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b"only this machine, only this page"})
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    def allows(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether Host is this page's, and Origin, where there is one, too."""
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
