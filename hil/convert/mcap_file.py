"""Write MCAP for Foxglove and PlotJuggler: JSON messages, with a JSON Schema on each channel.

Encodings by the MCAP registry: message encoding `json`, schema encoding `jsonschema`, a schema of
`"type": "object"`; both programs refuse or skip a channel that has none.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.writer import Writer

from sparsectl.common.errors import UserError
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import provenance
from sparsectl.hil.convert.messages import Message, messages, schemas
from sparsectl.hil.journal.journal import Journal

PROFILE = ""
"""None of the registry's (ROS) profiles."""
METADATA = "sparsectl"
"""Name of the metadata record with the journal's header, each value as JSON."""

Digests = dict[str, tuple[int, str]]
"""For each topic the number of messages, and the SHA-256 of their times and bytes in order."""


class _Tally:
    """Counts and digests messages by topic."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = defaultdict(int)
        self._hashes: dict[str, Any] = defaultdict(hashlib.sha256)

    def take(self, topic: str, log_ns: int, publish_ns: int, content: bytes) -> None:
        self._counts[topic] += 1
        self._hashes[topic].update(b"%d %d %d " % (log_ns, publish_ns, len(content)) + content)

    def digests(self) -> Digests:
        return {name: (self._counts[name], h.hexdigest()) for name, h in self._hashes.items()}


def write_mcap(journal: Journal, path: Path) -> dict[str, Any]:
    """Write `path`, read it back and compare; return what it contains.

    Returns:
        `topics`, the number of messages on each.

    Raises:
        UserError: what is read back is not what was written.
    """
    with open(path, "wb") as stream:
        written = _write(journal, Writer(stream))
    _check(written, path)
    return {"topics": {topic: count for topic, (count, _) in sorted(written.items())}}


def _write(journal: Journal, writer: Writer) -> Digests:
    tally, channels, known = _Tally(), dict[str, int](), schemas()
    writer.start(profile=PROFILE, library=f"sparsectl {provenance()['sparsectl']}")
    writer.add_metadata(METADATA, {key: json.dumps(v) for key, v in journal.header_json.items()})
    for message in _shown(journal):
        if message.topic not in channels:
            schema = json.dumps(known[message.topic]).encode()
            number = writer.register_schema(_schema_name(message.topic), "jsonschema", schema)
            channels[message.topic] = writer.register_channel(message.topic, "json", number)
        content = message.encoded()
        writer.add_message(channels[message.topic], message.log_ns, content, message.publish_ns)
        tally.take(message.topic, message.log_ns, message.publish_ns, content)
    writer.finish()
    return tally.digests()


def _schema_name(topic: str) -> str:
    return "sparsectl" + topic.replace("/", ".")


def _shown(journal: Journal) -> Iterator[Message]:
    """Yield the messages with progress; a record makes one or two."""
    with Progress(total=len(journal.records), desc="write", unit=" records") as bar:
        for message in messages(journal):
            bar.update(message.topic != "/pendulum")
            yield message


def _check(written: Digests, path: Path) -> None:
    tally = _Tally()
    with open(path, "rb") as stream:
        try:
            reader = make_reader(stream, validate_crcs=True)
            found = reader.iter_messages(log_time_order=False)
            total = sum(count for count, _ in written.values())
            for _, channel, message in Progress(found, "check", total, unit=" messages"):
                times = message.log_time, message.publish_time
                tally.take(channel.topic, *times, message.data)
        except McapError as error:
            raise UserError(f"{path} cannot be read back: {error}; check the disk") from error
    if tally.digests() != written:
        raise UserError(f"{path} does not hold what was written; check the disk")
