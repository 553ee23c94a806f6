"""The wire between host and board: the one message table, and what codes and decodes it.

A frame is ``00 | COBS(type u8, flags u8, sequence u16, payload, CRC-32) | 00``, little-endian. The
CRC starts from `SEED`, taken from the hash of this table, so two versions of the table never
misread each other; HELLO alone starts from zero, so that they can still exchange it and learn
which table the other has. The C header ``firmware/core/wire_table.h`` is generated from this table
by ``python -m sparsectl.firmware_host.wire_header``.

**Who numbers what.** Each end numbers the frames it sends, one sequence for all types, modulo
65536: a gap is a lost frame. ACK and NACK echo type and sequence of the frame they answer.

**From BOOT to ACTIVE** (device mode; the ticks run by themselves, in lockstep with STEP)::

    host                             board
    HELLO                        →   HELLO (identity, state SAFE)
    MODE(device)                 →   ACK (device is the mode at boot; MODE forgets CONFIG)
    CONFIG                       →   ACK, from now on a TICK each tick | NACK names what differs
    HOME                         →   ACK, EVENT(HOMING); encoders still for 0.5 s: EVENT(HOMED)
    HELLO                        →   HELLO with `arm_nonce`
    ARM(arm_nonce)               →   ACK, EVENT(ARMED), on the next tick EVENT(ACTIVE): motor live
    anything, often              →   else EVENT(FAULT, LINK_LOST) after `link_timeout_ticks`
    DISARM                       →   ACK, EVENT(STOPPING): motor off; base still: EVENT(HOMED)

Every request is answered by ACK, NACK or the message of its own name. Any good frame from the host
proves that it lives; TIMESYNC is the lightest. Processor in the loop is the same with MODE(pil):
there a tick runs for each PLANT_STEP and PLANT_ACT is its answer, and no motor is ever driven.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sparsectl.protocol.enums import ENUMS, Clock, Fault, Mode, Reason, State
from sparsectl.protocol.framing import PLAIN_SEED, cobs_decode, cobs_encode, crc32
from sparsectl.protocol.messages import MESSAGES, Field, Message

__all__ = [
    "Clock",
    "Decoder",
    "Fault",
    "Field",
    "Frame",
    "MAX_PACKET",
    "MAX_STUFFED",
    "MESSAGES",
    "Message",
    "Mode",
    "PROTOCOL_HASH",
    "Reason",
    "SEED",
    "State",
    "decode",
    "encode",
    "fields_to_board",
]

FLAG_TO_HOST: Final = 0x01
"""Set in the flags of every frame from the board, so that neither end takes an echo of its own
frames for an answer."""

_HEADER = struct.Struct("<BBH")
_CRC = struct.Struct("<I")
_HASH = struct.Struct("<I")


def _table_text() -> str:
    """Return everything that gives the bytes their meaning as text: names, numbers, types and
    units, but no prose."""
    lines = [f"{enum.__name__}.{member.name}={member.value}" for enum in ENUMS for member in enum]
    for message in MESSAGES:
        for way, fields in (("to_board", message.to_board), ("to_host", message.to_host)):
            if fields is not None:
                row = " ".join(f"{f.name}:{f.type}:{f.unit}" for f in fields)
                lines.append(f"{message.id} {message.name} {way} {row}")
    return "\n".join(lines)


PROTOCOL_HASH: Final[int] = _HASH.unpack(hashlib.sha256(_table_text().encode()).digest()[:4])[0]
"""32 bits of the table's SHA-256; HELLO carries it."""

SEED: Final = PROTOCOL_HASH
"""Seed of the CRC of every message but HELLO."""


class _Layout:
    """One payload: its fields and the struct that packs them."""

    def __init__(self, message: Message, fields: tuple[Field, ...], to_host: bool) -> None:
        self.message = message
        self.to_host = to_host
        self.names = tuple(field.name for field in fields)
        self.texts = tuple(field.name for field in fields if field.type.startswith("char"))
        self.struct = struct.Struct("<" + "".join(field.code for field in fields))

    def pack(self, values: Mapping[str, Any]) -> bytes:
        if values.keys() != set(self.names):
            raise ValueError(f"{self.message.name} takes {self.names}, not {tuple(values)}")
        return self.struct.pack(
            *(v.encode("ascii") if isinstance(v := values[n], str) else v for n in self.names)
        )

    def unpack(self, payload: bytes) -> dict[str, Any]:
        values: dict[str, Any] = dict(zip(self.names, self.struct.unpack(payload), strict=True))
        for name in self.texts:
            values[name] = values[name].rstrip(b"\x00").decode("ascii", errors="replace")
        return values


_LAYOUTS = {
    (message.id, to_host): _Layout(message, fields, to_host)
    for message in MESSAGES
    for to_host, fields in ((False, message.to_board), (True, message.to_host))
    if fields is not None
}
_BY_NAME = {(layout.message.name, way): layout for (_, way), layout in _LAYOUTS.items()}
_HELLO = _BY_NAME["HELLO", True].message.id

MAX_PACKET: Final = 8 + max(layout.struct.size for layout in _LAYOUTS.values())
"""Bytes of the longest packet: header, payload and CRC."""

MAX_STUFFED: Final = MAX_PACKET + 1 + MAX_PACKET // 254
"""Bytes of the longest packet once stuffed, without its two zeros."""


def fields_to_board(name: str) -> tuple[str, ...]:
    """Return the names of a request's fields, in order.

    Raises:
        KeyError: no such message goes to the board.
    """
    return _BY_NAME[name, False].names


@dataclass(frozen=True, slots=True)
class Frame:
    """A complete message.

    `values` maps each field to its value: numbers as int or float (an f32 exactly), ``bytes[n]`` as
    bytes, ``char[n]`` as str. `raw` is the stuffed packet without its zeros, as a journal keeps it.
    A HELLO from a board that speaks another table holds `protocol_hash` alone.
    """

    name: str
    to_host: bool
    sequence: int
    values: dict[str, Any]
    raw: bytes

    def __getitem__(self, field: str) -> Any:
        return self.values[field]


def encode(name: str, sequence: int, *, to_host: bool = False, **values: Any) -> bytes:
    """Return the bytes of one frame, including both zeros.

    Args:
        name: the message's name in the table.
        sequence: the sender's number of the frame; taken modulo 65536.
        to_host: True for a frame from the board; False for one from the host.
        values: a value for each field of the message, in the table's units.

    Raises:
        KeyError: there is no such message in that direction.
        ValueError: a field is missing or too many; struct.error: a value out of its range.
    """
    layout = _BY_NAME[name, to_host]
    message = layout.message
    flags = FLAG_TO_HOST if to_host else 0
    return frame_bytes(_HEADER.pack(message.id, flags, sequence & 0xFFFF) + layout.pack(values))


def frame_bytes(packet: bytes) -> bytes:
    """Add CRC, stuffing and delimiters to a packet: type, flags, sequence and payload."""
    guarded = packet + _CRC.pack(crc32(packet, _seed(packet[0])))
    return b"\x00" + cobs_encode(guarded) + b"\x00"


def decode(stuffed: bytes) -> Frame | None:
    """Decode the bytes between two zeros; None if they are not a complete message of this table."""
    packet = cobs_decode(stuffed)
    if packet is None or len(packet) < 8:
        return None
    kind, flags, sequence = _HEADER.unpack_from(packet)
    body, check = packet[:-4], _CRC.unpack(packet[-4:])[0]
    layout = _LAYOUTS.get((kind, bool(flags & FLAG_TO_HOST)))
    if crc32(body, _seed(kind)) != check or layout is None:
        return None
    values = _values(layout, body[4:])
    if values is None:
        return None
    return Frame(layout.message.name, layout.to_host, sequence, values, stuffed)


def _seed(kind: int) -> int:
    return PLAIN_SEED if kind == _HELLO else SEED


def _values(layout: _Layout, payload: bytes) -> dict[str, Any] | None:
    """Return the payload's fields; of a HELLO of another table, only the hash; None if the length
    is wrong."""
    if layout.message.id == _HELLO and layout.to_host and len(payload) >= _HASH.size:
        spoken = _HASH.unpack_from(payload)[0]
        if spoken != PROTOCOL_HASH:
            return {"protocol_hash": spoken}
    return layout.unpack(payload) if len(payload) == layout.struct.size else None


class Decoder:
    """Turns a stream of bytes, however it is cut, into frames; never raises on what it is fed.

    Attributes count what has been met: `frames` good ones, `corrupt` ones (bad stuffing, CRC,
    length or type), `overlong` ones, `echoed` ones (they went the other way than asked for).
    """

    def __init__(self, to_host: bool | None = True) -> None:
        """Accept frames to the host (True), to the board (False) or in both directions (None, for
        journals)."""
        self.to_host = to_host
        self.frames = 0
        self.corrupt = 0
        self.overlong = 0
        self.echoed = 0
        self._open = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[Frame]:
        """Add received bytes and return the frames that they complete, in order."""
        *whole, rest = (self._open + data).split(b"\x00")
        found = []
        for stuffed in whole:
            if self._skipping:
                self._skipping = False  # the tail of an overlong one, counted already
            elif stuffed and (frame := self._take(stuffed)) is not None:
                found.append(frame)
        if len(rest) > MAX_STUFFED:
            self.overlong += not self._skipping
            self._skipping, rest = True, b""
        self._open = rest
        return found

    def _take(self, stuffed: bytes) -> Frame | None:
        if len(stuffed) > MAX_STUFFED:
            self.overlong += 1
            return None
        frame = decode(stuffed)
        if frame is None:
            self.corrupt += 1
        elif self.to_host is not None and frame.to_host != self.to_host:
            self.echoed += 1
        else:
            self.frames += 1
            return frame
        return None
