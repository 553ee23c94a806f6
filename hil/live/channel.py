"""Datagrams between a trial and its live page; neither end ever waits for the other.

A datagram is whole or not there. When the reader is behind, the oldest stay in the socket and new
ones are dropped and counted: the loop that drives a motor must not be delayed by a browser.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

MAX_BYTES = 60_000
"""Largest message; a Unix socket takes more, but a message that large is a mistake."""


class Channel:
    """One end; messages are JSON objects."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._socket.setblocking(False)
        self.dropped = 0

    @property
    def descriptor(self) -> int:
        """The file descriptor, for select and for handing on to a child."""
        return self._socket.fileno()

    def send(self, message: Mapping[str, Any]) -> bool:
        """Send at once or not at all; False (counted) when the other end is behind or gone."""
        data = json.dumps(message, separators=(",", ":")).encode()
        try:
            if len(data) > MAX_BYTES:
                raise OSError
            self._socket.send(data)
        except OSError:
            self.dropped += 1
            return False
        return True

    def receive(self) -> Iterator[dict[str, Any]]:
        """Return all messages that are here now.

        Raises:
            EOFError: the other end has closed.
        """
        while True:
            try:
                data = self._socket.recv(MAX_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # it closed with something of ours unread; what it had sent is still here
            except OSError as error:
                raise EOFError from error
            if not data:
                raise EOFError
            yield json.loads(data)

    def close(self) -> None:
        """Close this end; the other finds out by EOFError."""
        self._socket.close()


def channel_pair() -> tuple[Channel, Channel]:
    """Return two connected ends; SOCK_SEQPACKET keeps message boundaries and reports a closed
    end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(ours), Channel(theirs)


def channel_of(descriptor: int) -> Channel:
    """Return the end that a parent process handed on."""
    return Channel(socket.socket(fileno=descriptor))
