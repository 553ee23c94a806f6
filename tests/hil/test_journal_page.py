"""docs/journal.md is enough to read a journal: a reader made of its facts reads a trial's."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparsectl.hil.config import TrialConfig
from sparsectl.hil.journal.journal import Kind, read_journal
from sparsectl.hil.trial.trial import run_trial

PAGE = (Path(__file__).parents[2] / "docs" / "journal.md").read_text(encoding="utf-8")


def _names(section: str) -> set[str]:
    """What stands in code quotes in the first column of a section's table."""
    text = PAGE.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def _read(content: bytes) -> list[tuple[int, int, bytes]]:
    """Kind, host time and payload of each record, by the page."""
    assert content[:8] == b"SPARSEJ\x01"
    at, records = 8, []
    while at < len(content):
        length, kind, host_ns = struct.unpack_from("<IBQ", content, at)
        end = at + 13 + length
        [check] = struct.unpack_from("<I", content, end)
        assert check == zlib.crc32(content[at:end])
        records.append((kind, host_ns, content[at + 13 : end]))
        at = end + 4
    return records


def test_a_reader_of_the_page_reads_a_trial(short: Callable[..., TrialConfig]) -> None:
    config = short()
    run_trial(config)
    path = config.out / "journal.bin"
    records = _read(path.read_bytes())
    journal = read_journal(path)
    assert [(int(r.kind), r.host_ns, r.payload) for r in journal.records] == records[1:]
    header: dict[str, Any] = json.loads(records[0][2])
    assert records[0][0] == Kind.HEADER
    assert header.keys() <= _names("The header")
    assert journal.header.to_json() == header
    notes = {json.loads(payload)["note"] for kind, _, payload in records if kind == Kind.NOTE}
    assert notes <= _names("Notes")
