"""A journal as timed JSON messages on topics, each topic with its JSON Schema.

`/board/NAME` and `/host/NAME` are the frames of the wire, field by field as its table has them.
`/pendulum` is each control tick in SI units. `/notes` is what the host did, `/computation` when it
computed a command, `/garbage` what came in and was no frame. JSON has no NaN: a field that is not
finite is left out of its message.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from numpy.typing import NDArray

from sparsectl.hil.analysis.choices import choices
from sparsectl.hil.analysis.results import exchanges, is_virtual_time
from sparsectl.hil.journal.journal import Journal, Kind
from sparsectl.hil.journal.trace import read_trace
from sparsectl.hil.timing.clock_sync import ClockRelation, fit_clock
from sparsectl.hil.timing.computation import Computation
from sparsectl.protocol.wire import MESSAGES, Field, Frame, decode

Schema = dict[str, Any]
Columns = dict[str, NDArray[Any]]

PENDULUM: Final[dict[str, str]] = {
    "base_position": "m or rad, from home",
    "base_velocity": "m/s or rad/s",
    "pole_angle_rad": "rad, 0 upright, within -pi and pi",
    "pole_velocity": "rad/s",
    "duty": "1, applied to the motor",
    "policy_output": "1, duty that the policy asks for, before kick and clamp",
    "inference_ns": "ns, of the policy call",
    "actuation_us": "us, from sampling to the motor's new duty",
    "lateness_us": "us, sampling after the tick's deadline",
    "tick": "number of the control tick",
    "state": "State of the board, a number of the wire's table",
    "fault": "Fault that is latched",
    "choice": "index of the duty that the policy chose, -1 none; where it chooses among duties",
}
"""Columns of a trace, with units: the fields of /pendulum."""


@dataclass(frozen=True)
class Message:
    """One message: its topic, when it was logged, when it was published, and its content."""

    topic: str
    log_ns: int
    publish_ns: int
    content: dict[str, Any]

    def encoded(self) -> bytes:
        """Return UTF-8 JSON."""
        return json.dumps(self.content, allow_nan=False, separators=(",", ":")).encode()


def schemas() -> dict[str, Schema]:
    """Return the JSON Schema of every topic that a journal can contain."""
    found = {
        "/pendulum": _object(
            "A control tick in SI units", {n: _number(d) for n, d in PENDULUM.items()}
        ),
        "/notes": _object(
            "What the host did or learnt",
            {"note": _text("which kind"), "fields": _text("the note's own fields, as JSON")},
        ),
        "/computation": _object(
            "Host mode: when the host computed a tick's command",
            {
                "tick": _number("number of the control tick"),
                "start_ns": _number("ns, host's clock"),
                "end_ns": _number("ns, host's clock"),
            },
        ),
        "/garbage": _object("Bytes from the board that were no frame", {"bytes": _BYTES}),
    }
    for message in MESSAGES:
        for topic, fields in (("host", message.to_board), ("board", message.to_host)):
            if fields is not None:
                properties = {field.name: _property(field) for field in fields}
                found[f"/{topic}/{message.name}"] = _object(message.doc, properties)
    return found


def messages(journal: Journal) -> Iterator[Message]:
    """Yield everything in the journal, in order."""
    columns = tick_columns(journal)
    rows = {int(tick): row for row, tick in enumerate(columns["tick"])}
    relation = _relation(journal)
    epoch_ns = _epoch_ns(journal)
    for record in journal.records:
        log_ns = max(0, record.host_ns + epoch_ns)
        if record.kind is Kind.NOTE:
            note = dict(record.json())
            content = {"note": note.pop("note"), "fields": json.dumps(note)}
            yield Message("/notes", log_ns, log_ns, content)
        elif record.kind is Kind.COMPUTATION:
            content = asdict(Computation.parse(record.payload))
            yield Message("/computation", log_ns, log_ns, content)
        elif record.kind is Kind.GARBAGE:
            yield Message("/garbage", log_ns, log_ns, {"bytes": _base64(record.payload)})
        elif (frame := decode(record.payload)) is not None:
            publish_ns = _published_ns(frame, relation, log_ns, epoch_ns)
            topic = f"/{'board' if frame.to_host else 'host'}/{frame.name}"
            yield Message(topic, log_ns, publish_ns, _content(frame.values))
            row = rows.pop(frame["tick"], None) if _is_tick(frame) else None
            if row is not None:
                yield Message("/pendulum", log_ns, publish_ns, _content(_pendulum(columns, row)))


def tick_columns(journal: Journal) -> Columns:
    """Return what is known of each control tick, [ticks] each: the columns of a trace and, if the
    rig has its policy choose among duties, the index of the one that was chosen."""
    trace = read_trace(journal)
    columns = dict(vars(trace))
    if duties := journal.header.rig_constants.duties:
        columns["choice"] = choices(trace.policy_output, duties)
    return columns


def _is_tick(frame: Frame) -> bool:
    return frame.name in ("TICK", "PLANT_ACT")


def _pendulum(columns: Columns, row: int) -> dict[str, Any]:
    return {name: values[row].item() for name, values in columns.items() if name in PENDULUM}


def _relation(journal: Journal) -> ClockRelation | None:
    found = [] if is_virtual_time(journal) else list(exchanges(journal))
    return fit_clock(found) if found else None


def _published_ns(frame: Frame, relation: ClockRelation | None, log_ns: int, epoch_ns: int) -> int:
    """Return when the board sampled, if the clocks are related; otherwise when it was logged."""
    if relation is None or frame.name != "TICK":
        return log_ns
    return max(0, relation.host_ns(frame["sample_time_us"]) + epoch_ns)


def _epoch_ns(journal: Journal) -> int:
    """Return the offset from the host's monotonic clock to Unix time; 0 if the journal does not
    contain it."""
    for note in journal.notes("started"):
        return int(note["unix_ns"]) - int(note["host_ns"])
    return 0


def _content(values: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, bytes):
            content[name] = _base64(value)
        elif not isinstance(value, float) or math.isfinite(value):
            content[name] = value
    return content


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


_BYTES = {"type": "string", "contentEncoding": "base64"}


def _object(description: str, properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "description": description, "properties": properties}


def _number(description: str) -> Schema:
    return {"type": "number", "description": description}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _property(field: Field) -> Schema:
    description = f"{field.doc} [{field.unit}]" if field.unit else field.doc
    if field.type.startswith("bytes"):
        return {**_BYTES, "description": description}
    if field.type.startswith("char"):
        return _text(description)
    kind = "number" if field.type == "f32" else "integer"
    return {"type": kind, "description": description}
