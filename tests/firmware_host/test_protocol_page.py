"""docs/protocol.md is enough to write a client from.

The client below knows nothing but what the page says: it reads the tables in it, and stuffs,
guards and sends frames by its prose. Nothing of the project is imported for it; the board is the
project's, with a lockstep clock, so that no busy machine makes the client late.
"""

from __future__ import annotations

import re
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import serial

from tests.firmware_host.board_process import BoardProcess, Plant

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i32": "i", "f32": "f"}
Row = list[str]


def _rows(text: str) -> list[Row]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def _section(title: str) -> str:
    return PAGE.split(f"{title}\n", 1)[1].split("\n#", 1)[0]


def _numbers(enum: str) -> dict[str, int]:
    return {row[1]: int(row[0]) for row in _rows(_section(f"### {enum}"))}


def _code(kind: str) -> str:
    length = re.search(r"\[(\d+)\]", kind)
    return f"{length.group(1)}s" if length else CODES[kind]


class Client:
    """Speaks to a board by the page."""

    SEED = int(re.search(r"`protocol_hash` \| `(0x[0-9a-f]{8})`", PAGE).group(1), 16)  # type: ignore[union-attr]
    TYPES = {row[1]: int(row[0]) for row in _rows(_section("## Requests and answers"))}

    def __init__(self, port: str) -> None:
        self.line = serial.Serial(port, 115_200, timeout=0.05)
        self.sequence = 0
        self.bytes = b""
        self.tick = 0

    def _fields(self, name: str, way: str) -> list[tuple[str, str]]:
        title = f"### {name} to the {way}"
        if f"{title}\n" not in PAGE:
            return []
        return [(row[1].strip("`"), _code(row[2])) for row in _rows(_section(title))]

    def _crc(self, name: str, body: bytes) -> bytes:
        return struct.pack("<I", zlib.crc32(body, 0 if name == "HELLO" else self.SEED))

    def frame(self, name: str, **values: Any) -> bytes:
        fields = self._fields(name, "board")
        payload = struct.pack("<" + "".join(c for _, c in fields), *(values[n] for n, _ in fields))
        body = struct.pack("<BBH", self.TYPES[name], 0, self.sequence) + payload
        self.sequence += 1
        runs = (body + self._crc(name, body)).split(b"\0")
        assert all(len(run) < 254 for run in runs)
        return b"\0" + b"".join(bytes([len(run) + 1]) + run for run in runs) + b"\0"

    def read(self) -> tuple[str, dict[str, Any]]:
        """The next whole frame."""
        patience = time.monotonic() + 20
        while True:
            *whole, self.bytes = self.bytes.split(b"\0")
            for index, stuffed in enumerate(whole):
                if stuffed and (found := self._open(stuffed)):
                    self.bytes = b"\0".join([*whole[index + 1 :], self.bytes])
                    return found
            assert time.monotonic() < patience, "the board is silent"
            self.bytes += self.line.read(256)

    def _open(self, stuffed: bytes) -> tuple[str, dict[str, Any]] | None:
        packet, at = b"", 0
        while at < len(stuffed):
            packet += (b"\0" if at else b"") + stuffed[at + 1 : at + stuffed[at]]
            at += stuffed[at]
        body, check = packet[:-4], packet[-4:]
        name = next(name for name, number in self.TYPES.items() if number == body[0])
        assert body[1] == 1, "bit 0 of the flags says that the board speaks"
        assert self._crc(name, body) == check
        fields = self._fields(name, "host")
        values = struct.unpack("<" + "".join(code for _, code in fields), body[4:])
        return name, dict(zip((field for field, _ in fields), values, strict=True))

    def ask(self, name: str, **values: Any) -> tuple[str, dict[str, Any]]:
        """Send a request; its answer."""
        sequence = self.sequence
        self.line.write(self.frame(name, **values))
        while True:
            answer, found = self.read()
            if answer == name or (
                answer in ("ACK", "NACK") and found["echo_sequence"] == sequence & 0xFFFF
            ):
                return answer, found

    def step(self) -> dict[str, Any]:
        """Let one control tick run; its TICK."""
        self.line.write(self.frame("TIMESYNC", host_time_ns=time.monotonic_ns()))
        sequence, self.tick = self.sequence, self.tick + 1
        self.line.write(self.frame("STEP", until_tick=self.tick))
        ticks = []
        while True:
            name, found = self.read()
            if name == "TICK":
                ticks.append(found)
            if name == "ACK" and found["echo_sequence"] == sequence & 0xFFFF:
                assert [tick["tick"] for tick in ticks] == [self.tick]
                return ticks[0]

    def step_until(self, state: int) -> dict[str, Any]:
        """Let ticks run until one is in a state; that one."""
        for _ in range(100):
            if (tick := self.step())["state"] == state:
                return tick
        raise AssertionError(f"the board does not come to state {state}")


def test_a_client_of_the_page_greets_arms_reads_and_stops(elf: Path) -> None:
    state, fault = _numbers("State"), _numbers("Fault")
    with BoardProcess(elf, "--clock", "lockstep", plant=Plant()) as board:
        client = Client(board.path)
        _, hello = client.ask("HELLO")
        assert hello["protocol_hash"] == client.SEED
        assert hello["clock"] == _numbers("Clock")["LOCKSTEP"]
        assert hello["board"].rstrip(b"\0") == b"host"
        assert client.ask("MODE", mode=_numbers("Mode")["DEVICE"])[0] == "ACK"
        config = {name: hello[name] for name, _ in client._fields("CONFIG", "board")}
        refused, why = client.ask("CONFIG", **config | {"period_us": 1})
        assert (refused, why["reason"]) == ("NACK", _numbers("Reason")["WRONG_PERIOD"])
        assert client.ask("CONFIG", **config)[0] == "ACK"
        assert client.ask("HOME")[0] == "ACK"
        client.step_until(state["HOMED"])
        _, hello = client.ask("HELLO")
        assert client.ask("ARM", nonce=hello["arm_nonce"])[0] == "ACK"
        ticks = [client.step_until(state["ACTIVE"]), *(client.step() for _ in range(4))]
        assert [tick["state"] for tick in ticks] == [state["ACTIVE"]] * 5
        assert all(abs(tick["duty"]) <= hello["max_duty"] for tick in ticks)
        assert client.ask("ESTOP")[0] == "ACK"
        stopped = client.step()
        assert (stopped["state"], stopped["fault"]) == (state["FAULT"], fault["ESTOP"])
        assert stopped["duty"] == 0.0
        client.line.close()
        board.close()


def test_the_session_on_the_page_is_what_the_client_would_send() -> None:
    """Of the requests without a payload, bit for bit: the same stuffing, sequence and CRC."""
    client = Client.__new__(Client)
    client.sequence = 0
    said = [row[1:] for row in _rows(_section("## A session as bytes")) if row[0] == "host"]
    for sequence, (data, meaning) in enumerate(said):
        name = meaning.split(":")[0]
        client.sequence = sequence
        if not client._fields(name, "board"):
            assert client.frame(name).hex(" ") == data.strip("`")
