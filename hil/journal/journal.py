"""The journal: every frame that crossed the link, raw, with the host's clock.

A file is an 8-byte signature and then records:

    length u32 | kind u8 | host time u64, ns | payload | CRC-32 of all before

The host's time is CLOCK_MONOTONIC; in a lockstep trial (`host_clock` "virtual" in the header) it is
the board's virtual time, so that the same trial gives the same bytes.

`length` counts the payload. A record is part of one `write` to an unbuffered descriptor: what has
been written is the kernel's, so a killed process loses at most the record that it was writing, and
those that it put off: in lockstep, the last tick's. The reader stops at the first record that is
not whole and says how many bytes it left.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_whole
from sparsectl.common.warning import warn
from sparsectl.hil.journal.header import JournalHeader
from sparsectl.hil.journal.host_time import HostTime, MonotonicTime
from sparsectl.protocol.wire import Frame, decode

NAME = "journal.bin"
SIGNATURE = b"SPARSEJ\x01"
MAX_PAYLOAD = 1 << 20
SIZE_LIMIT = 1 << 30
"""The largest journal that is read, in bytes: more than a day of trial."""
_HEAD = struct.Struct("<IBQ")
_CRC = struct.Struct("<I")


class JournalLost(UserError):
    """The journal cannot be written any more: the disk is full or has failed."""


class Kind(IntEnum):
    """The kind of a record's content."""

    FROM_DEVICE = 0
    """A frame's bytes as they came, delimiters left out."""
    TO_DEVICE = 1
    """A frame's bytes as they were sent."""
    HEADER = 2
    """JSON: configuration, digest, revision, seeds. The first record of every journal."""
    NOTE = 3
    """JSON: what the host did or learnt meanwhile (clock fits, phases, kicks)."""
    GARBAGE = 4
    """Bytes from the device that were no valid frame."""
    COMPUTATION = 5
    """Host mode: when the host began and finished computing a tick's command."""


_KINDS = frozenset(int(kind) for kind in Kind)


@dataclass(frozen=True)
class Record:
    """One record: its kind, the host's monotonic time in ns, and the payload."""

    kind: Kind
    host_ns: int
    payload: bytes

    def json(self) -> Any:
        """Parse the payload of a HEADER or NOTE record."""
        return json.loads(self.payload)


@dataclass(frozen=True)
class Journal:
    """A journal in memory: its header, all records after it, and the number of bytes of a torn
    tail."""

    header_json: dict[str, Any]
    """The header as in the file, whichever release wrote it."""
    records: list[Record]
    dropped_bytes: int

    @cached_property
    def header(self) -> JournalHeader:
        """Return the header.

        Raises:
            UserError: a key is missing or has another type.
        """
        return JournalHeader.from_json(self.header_json)

    @cached_property
    def frames(self) -> list[tuple[Record, Frame]]:
        """Return the frames that crossed the link with their records, in order."""
        found = []
        for record in self.records:
            if record.kind in (Kind.FROM_DEVICE, Kind.TO_DEVICE):
                frame = decode(record.payload)
                if frame is not None:
                    found.append((record, frame))
        return found

    def notes(self, name: str) -> list[dict[str, Any]]:
        """Return the notes with this name, oldest first, each with its `host_ns`."""
        found = []
        for record in self.records:
            if record.kind is Kind.NOTE and (note := record.json()).get("note") == name:
                found.append({**note, "host_ns": record.host_ns})
        return found


class JournalWriter:
    """Appends records to a new journal. Safe to call from several threads.

    Each record is part of a single `os.write` in append mode, which the kernel does not mix with
    those of other threads. There is no buffer in this process that a kill could lose, except for
    what one thread puts off with `write_later`. If a full disk accepts only a part of a record,
    that part is removed, so that the file stays valid and writing can continue when there is room
    again.
    """

    def __init__(self, path: Path, header: dict[str, Any], now: HostTime | None = None) -> None:
        """Start the journal at `path`, replacing an earlier one; `now` defaults to the machine's
        clock.

        Raises:
            UserError: the file cannot be written.
        """
        self.path = path
        self.now = now or MonotonicTime()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644
            )
        except OSError as error:
            raise JournalLost(
                f"cannot write the journal {path}: {error.strerror}; name another folder with --out"
            ) from error
        self._put_off: list[bytes] = []
        self._size = 0
        self._appending = threading.Lock()
        try:
            self._append(SIGNATURE)
            self.write(Kind.HEADER, _to_json(header))
        except JournalLost:
            if stat.S_ISREG(os.fstat(self._descriptor).st_mode):  # and no device of the machine
                path.unlink(missing_ok=True)
            os.close(self._descriptor)
            raise

    def write(self, kind: Kind, payload: bytes, host_ns: int | None = None) -> None:
        """Append one record.

        Args:
            kind: the kind of payload.
            payload: at most MAX_PAYLOAD bytes.
            host_ns: time of the record by the host's clock; by default the present time.

        Raises:
            JournalLost: the disk is full or failed.
        """
        self.settle()
        self._append(self._record(kind, payload, host_ns))

    def write_later(self, kind: Kind, payload: bytes, host_ns: int | None = None) -> None:
        """Write like `write`, but together with the next record or at `settle`. Only for journals
        that a single thread writes."""
        self._put_off.append(self._record(kind, payload, host_ns))

    def settle(self) -> None:
        """Write the records that `write_later` has put off."""
        if self._put_off:
            records, self._put_off = self._put_off, []
            self._append(b"".join(records))

    def note(self, name: str, host_ns: int | None = None, **fields: Any) -> None:
        """Append a NOTE record: JSON of the fields, with the name `name`."""
        self.write(Kind.NOTE, _to_json({"note": name, **fields}), host_ns)

    def move(self, path: Path) -> None:
        """Rename the open journal within its folder, replacing a file with that name.

        Raises:
            JournalLost: the folder has been deleted, or is not writable any more.
        """
        try:
            os.replace(self.path, path)
        except OSError as error:
            raise JournalLost(
                f"cannot give the journal {self.path} the name {path.name}: {error.strerror}; "
                "leave its folder alone until the trial has ended"
            ) from error
        self.path = path

    @property
    def is_in_place(self) -> bool:
        """Return whether the open journal's path still leads to it, and not to nothing or to
        another file."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except OSError:
            return False

    def close(self) -> None:
        """Flush to the disk and close; a second call does nothing.

        Raises:
            JournalLost: the disk is full or has failed; the file is closed nevertheless.
        """
        if self._descriptor < 0:
            return
        try:
            self.settle()
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._lost(error.strerror) from error
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _record(self, kind: Kind, payload: bytes, host_ns: int | None) -> bytes:
        if len(payload) > MAX_PAYLOAD:
            raise ValueError(f"a record of {len(payload)} bytes, at most {MAX_PAYLOAD}")
        stamp = self.now() if host_ns is None else host_ns
        body = _HEAD.pack(len(payload), kind, stamp) + payload
        return body + _CRC.pack(zlib.crc32(body))

    def _append(self, records: bytes) -> None:
        with self._appending:
            try:
                written = os.write(self._descriptor, records)
            except OSError as error:
                raise self._lost(error.strerror) from error
            if written != len(records):
                with suppress(OSError):
                    os.ftruncate(self._descriptor, self._size)
                raise self._lost("the disk is full")
            self._size += written

    def _lost(self, why: str | None) -> JournalLost:
        return JournalLost(f"cannot write the journal {self.path}: {why}; free disk space")


def find_journal(path: Path) -> Path:
    """Return the journal that `path` names: the file itself, or the one in a trial's or a run's
    folder."""
    if not path.is_dir():
        return path
    for inside in (path / NAME, path / "trial" / NAME):
        if inside.is_file():
            return inside
    raise UserError(f"no {NAME} in {path}; name a trial's folder or its journal")


def read_journal(path: Path) -> Journal:
    """Read a journal, complete or torn.

    Raises:
        UserError: the file is missing, is no journal, or ends before its header does.
    """
    content = read_whole(path, SIZE_LIMIT, "name a journal.bin", SIGNATURE)
    if content[: len(SIGNATURE)] != SIGNATURE:
        raise UserError(
            f"{path} is not a sparsectl journal: it starts with {content[:8]!r}; name a journal.bin"
        )
    records = list(_records(content))
    header = _header(records[0]) if records else None
    if header is None:
        raise UserError(
            f"{path} has no header: {len(content)} bytes, cut at the start; run the trial again"
        )
    return Journal(
        header_json=header,
        records=records[1:],
        dropped_bytes=len(content) - len(SIGNATURE) - sum(_size(record) for record in records),
    )


def read_and_warn(path: Path) -> Journal:
    """Read a journal, and warn if some of it is not read.

    Raises:
        UserError: as `read_journal`.
    """
    journal = read_journal(path)
    if journal.dropped_bytes:
        warn(
            f"{path} is torn: its last {journal.dropped_bytes:,} bytes, from the first damaged "
            "record on, are not read"
        )
    return journal


def _header(record: Record) -> dict[str, Any] | None:
    if record.kind is not Kind.HEADER:
        return None
    try:
        header = record.json()
    except ValueError:
        return None
    return header if isinstance(header, dict) else None


def _records(content: bytes) -> Iterator[Record]:
    """Yield the complete records from the start, up to the first that is cut or damaged."""
    position = len(SIGNATURE)
    while position + _HEAD.size + _CRC.size <= len(content):
        length, kind, host_ns = _HEAD.unpack_from(content, position)
        end = position + _HEAD.size + length
        if length > MAX_PAYLOAD or kind not in _KINDS or end + _CRC.size > len(content):
            return
        if _CRC.unpack_from(content, end)[0] != zlib.crc32(content[position:end]):
            return
        yield Record(Kind(kind), host_ns, content[position + _HEAD.size : end])
        position = end + _CRC.size


def _size(record: Record) -> int:
    return _HEAD.size + len(record.payload) + _CRC.size


def _to_json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
