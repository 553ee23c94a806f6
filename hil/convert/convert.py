"""Convert a journal: find it, write the file completely or not at all, and report its content."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path
from sparsectl.hil.convert.config import ConvertConfig, Format
from sparsectl.hil.journal.journal import Journal, find_journal, read_journal
from sparsectl.hil.journal.trace import require_protocol

Write = Callable[[Journal, Path], dict[str, Any]]

WRITERS: Final[dict[Format, str]] = {
    "mcap": "sparsectl.hil.convert.mcap_file:write_mcap",
    "parquet": "sparsectl.hil.convert.parquet_file:write_parquet",
}
"""The writer of each format, imported on demand since it needs its own library."""


def convert(config: ConvertConfig) -> dict[str, Any]:
    """Run `sparsectl convert`.

    Returns:
        `file`, `bytes`, `dropped_bytes` (of the journal's torn tail), and what the writer says.

    Raises:
        UserError: no journal, or the file cannot be written or is not read back as written.
    """
    path = find_journal(config.journal)
    journal = read_journal(path)
    require_protocol(journal, path)
    out = config.out or path.with_suffix(f".{config.to}")
    if out.is_dir():
        raise UserError(f"{out} is a folder; name a file with --out")
    with atomic_path(out) as temporary:
        holds = _writer(config.to)(journal, temporary)
        size = temporary.stat().st_size
    return {"file": str(out), "bytes": size, "dropped_bytes": journal.dropped_bytes, **holds}


def _writer(name: Format) -> Write:
    module, function = WRITERS[name].split(":")
    write: Write = getattr(importlib.import_module(module), function)
    return write
