"""Ports that are a URL: pyserial's socket:// and rfc2217://."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial
import serial.rfc2217

from sparsectl.common.errors import UserError
from sparsectl.hil.journal.journal import JournalWriter
from sparsectl.hil.journal.recorder import LiveRecorder
from sparsectl.hil.link.link import Link
from sparsectl.protocol.wire import MESSAGES, Decoder, encode

EVENT = {"time_us": 0, "previous": 1, "state": 2, "fault": 0}


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalWriter]:
    with JournalWriter(tmp_path / "journal.bin", {}) as writer:
        yield writer


class RemotePort:
    """As much of RFC 2217's far end as it takes: pyserial's own manager, and a board that obeys."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server

    def serve(self) -> None:
        connection, _ = self._server.accept()
        port = serial.serial_for_url("loop://")
        manager = serial.rfc2217.PortManager(port, Peer(connection))
        decoder = Decoder(to_host=False)
        with connection:
            while content := connection.recv(4096):
                plain = b"".join(manager.filter(content))
                for frame in decoder.feed(plain):
                    number = next(m.id for m in MESSAGES if m.name == frame.name)
                    echo = {"echo_type": number, "echo_sequence": frame.sequence}
                    answer = encode("ACK", 0, to_host=True, **echo)
                    connection.sendall(b"".join(manager.escape(answer)))


class Peer:
    """What the manager writes its own answers to."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, content: bytes) -> None:
        self._connection.sendall(content)


@pytest.mark.parametrize("port", ["socket://127.0.0.1:1", "rfc2217://127.0.0.1:1", "nonsense://x"])
def test_a_dead_address_gets_one_line(port: str, journal: JournalWriter) -> None:
    with pytest.raises(UserError, match="cannot open port") as caught:
        Link(port, 230400, LiveRecorder(journal))
    assert "\n" not in str(caught.value)


def test_a_socket_port_carries_frames(journal: JournalWriter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with Link(f"socket://127.0.0.1:{port}", 230400, LiveRecorder(journal)) as link:
            far, _ = server.accept()
            with far:
                far.sendall(encode("EVENT", 0, to_host=True, tick=3, **EVENT))
                received = link.next_frame(5.0)
                assert received is not None and received.frame["tick"] == 3


@pytest.mark.filterwarnings("ignore:set:DeprecationWarning")
def test_an_rfc2217_port_carries_frames(journal: JournalWriter) -> None:
    """A port without a descriptor: pyserial's own reading and writing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rfc2217://127.0.0.1:{server.getsockname()[1]}?timeout=10"
        far_end = RemotePort(server)
        thread = threading.Thread(target=far_end.serve)
        thread.start()
        with Link(url, 230400, LiveRecorder(journal)) as link:
            assert link.request("HOME").frame.name == "ACK"
        thread.join()
