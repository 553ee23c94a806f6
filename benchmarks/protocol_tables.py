"""The tables of docs/protocol.md, from the message table itself."""

from __future__ import annotations

import inspect
from typing import Any

from enum_docs import member_docs

from sparsectl.protocol.wire import (
    ENUMS,
    MAX_PACKET,
    MESSAGES,
    PROTOCOL_HASH,
    Field,
    Message,
    encode,
)

_DIGEST = bytes(range(32))
_RIG: dict[str, Any] = {
    "period_us": 20_000,
    "base_unit_per_count": 9e-5,
    "pole_rad_per_count": 0.0015,
    "observation_size": 25,
    "action_size": 1,
    "frames": 5,
    "link_timeout_ticks": 3,
}


def protocol_hash() -> list[str]:
    """The numbers that hold for this version of the table."""
    return [
        f"| CRC seed of every message but HELLO, `protocol_hash` | `0x{PROTOCOL_HASH:08x}` |",
        "| --- | --- |",
        "| CRC seed of HELLO | `0x00000000` |",
        f"| longest packet (header, payload and CRC, before stuffing) | {MAX_PACKET} bytes |",
    ]


def protocol_overview() -> list[str]:
    """A row a message."""
    lines = ["| number | message | to the board | to the host | meaning |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for message in MESSAGES:
        sizes = [_size(message.to_board), _size(message.to_host)]
        lines.append(f"| {message.id} | {message.name} | {' | '.join(sizes)} | {message.doc} |")
    return lines


def _size(fields: tuple[Field, ...] | None) -> str:
    return "" if fields is None else f"{sum(field.size for field in fields)} bytes"


def protocol_payloads() -> list[str]:
    """A table a payload: offset, field, type, unit, meaning."""
    lines: list[str] = []
    for message in MESSAGES:
        for way, fields in (("to the board", message.to_board), ("to the host", message.to_host)):
            if fields:
                lines += _payload(message, way, fields)
    return lines[:-1]


def _payload(message: Message, way: str, fields: tuple[Field, ...]) -> list[str]:
    lines = [f"### {message.name} {way}", "", "| offset | field | type | unit | meaning |"]
    lines.append("| --- | --- | --- | --- | --- |")
    offset = 0
    for field in fields:
        cells = [str(offset), f"`{field.name}`", field.type, field.unit, field.doc]
        lines.append(f"| {' | '.join(cells)} |")
        offset += field.size
    return [*lines, ""]


def protocol_enums() -> list[str]:
    """A table an enum: number, name, meaning."""
    lines: list[str] = []
    for enum in ENUMS:
        lines += [f"### {enum.__name__}", "", f"{inspect.getdoc(enum)}", ""]
        lines += ["| number | name | meaning |", "| --- | --- | --- |"]
        docs = member_docs(enum)
        lines += [f"| {m.value} | {m.name} | {docs.get(m.name, '')} |" for m in enum]
        lines.append("")
    return lines[:-1]


def protocol_session() -> list[str]:
    """A session from greeting to stop, as the bytes on the line."""
    rows: list[tuple[str, bytes, str]] = []

    def say(name: str, sequence: int, meaning: str, to_host: bool = False, **values: Any) -> None:
        rows.append(
            (
                "board" if to_host else "host",
                encode(name, sequence, to_host=to_host, **values),
                f"{name}: {meaning}",
            )
        )

    def acknowledge(kind: int, echo: int, sequence: int) -> None:
        say("ACK", sequence, "accepted", True, echo_type=kind, echo_sequence=echo)

    number = {message.name: message.id for message in MESSAGES}
    say("HELLO", 0, "who are you?")
    say("HELLO", 0, "an example of an answer, the motor off", True, **_hello())
    say("CONFIG", 1, "what the host believes", policy_digest=_DIGEST, **_config())
    acknowledge(number["CONFIG"], 1, 1)
    say("HOME", 2, "find zero")
    acknowledge(number["HOME"], 2, 2)
    say("ARM", 3, "with the nonce of the newest HELLO", nonce=_hello()["arm_nonce"])
    acknowledge(number["ARM"], 3, 3)
    say("TIMESYNC", 4, "a sign of life", host_time_ns=1_000_000_000)
    say("ESTOP", 5, "motor off at once")
    acknowledge(number["ESTOP"], 5, 4)
    lines = ["| from | bytes | what they say |", "| --- | --- | --- |"]
    lines += [f"| {who} | `{data.hex(' ')}` | {meaning} |" for who, data, meaning in rows]
    return lines


def _message(name: str) -> Message:
    return next(message for message in MESSAGES if message.name == name)


def _config() -> dict[str, Any]:
    fields = _message("CONFIG").to_board or ()
    values = {field.name: _example(field) for field in fields}
    values.pop("policy_digest")
    return values


def _hello() -> dict[str, Any]:
    fields = _message("HELLO").to_host or ()
    return {field.name: _example(field) for field in fields}


def _example(field: Field) -> Any:
    """A plausible value; 1 or its like for what the example does not name."""
    known = _RIG | {
        "protocol_hash": PROTOCOL_HASH,
        "policy_digest": _DIGEST,
        "board": "host",
        "firmware_version": "0.2.0",
        "arm_nonce": 0x1234_5678,
        "state": 1,
        "fault": 0,
        "mode": 0,
        "clock": 0,
    }
    if field.name in known:
        return known[field.name]
    if field.length:
        return "" if field.type.startswith("char") else bytes(field.length)
    return 1.0 if field.type == "f32" else 1
