from __future__ import annotations

import pytest

from sparsectl.hil.live.guard import LoopbackOnly

PORT = 8770


async def nothing(scope: object, receive: object, send: object) -> None:
    raise AssertionError("not reached")


@pytest.mark.parametrize(
    ("host", "origin", "allowed"),
    [
        ("127.0.0.1:8770", None, True),
        ("localhost:8770", None, True),
        ("127.0.0.1:8770", "http://127.0.0.1:8770", True),
        ("localhost:8770", "http://localhost:8770", True),
        ("127.0.0.1:8770", "http://127.0.0.1:9999", False),
        ("127.0.0.1:8770", "https://127.0.0.1:8770", False),
        ("127.0.0.1:8770", "http://evil.example", False),
        ("127.0.0.1:8770", "http://127.0.0.1:8770.evil.example", False),
        ("127.0.0.1:8770", "null", False),
        ("evil.example:8770", None, False),
        ("evil.example", "http://evil.example", False),
        ("127.0.0.1", None, False),
        (None, None, False),
    ],
)
def test_who_may(host: str | None, origin: str | None, allowed: bool) -> None:
    headers = [(b"host", host.encode())] if host else []
    headers += [(b"origin", origin.encode())] if origin else []
    assert LoopbackOnly(nothing, PORT).allows(headers) is allowed


def test_two_hosts_are_none() -> None:
    headers = [(b"host", b"127.0.0.1:8770"), (b"host", b"evil.example")]
    assert not LoopbackOnly(nothing, PORT).allows(headers)
