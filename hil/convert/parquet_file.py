"""Parquet: one table, a row a control tick, raw values beside SI units, for any data frame.

Each column's metadata has its unit; the table's has the journal's header, under `sparsectl`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sparsectl.common.errors import UserError
from sparsectl.hil.convert.messages import PENDULUM, tick_columns
from sparsectl.hil.journal.journal import Journal

METADATA = b"sparsectl"
UNITS = {
    **PENDULUM,
    "time_us": "us, device clock at sampling",
    "host_ns": "ns, host's clock at receiving",
    "skipped": "ticks, deadlines skipped since boot, modulo 65536",
}


def write_parquet(journal: Journal, path: Path) -> dict[str, Any]:
    """Write `path`, read it back and compare; return what it contains.

    Returns:
        `rows` and `columns`.

    Raises:
        UserError: what is read back is not what was written.
    """
    table = tick_table(journal)
    pq.write_table(table, path, compression="zstd")
    try:
        same = pq.read_table(path).equals(table, check_metadata=True)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read back: {error}; check the disk") from error
    if not same:
        raise UserError(f"{path} does not hold what was written; check the disk")
    return {"rows": table.num_rows, "columns": table.column_names}


def tick_table(journal: Journal) -> pa.Table:
    """Return the journal's ticks as a table."""
    columns = tick_columns(journal)
    fields = [
        pa.field(name, pa.from_numpy_dtype(values.dtype), metadata={b"unit": UNITS[name].encode()})
        for name, values in columns.items()
    ]
    schema = pa.schema(fields, metadata={METADATA: json.dumps(journal.header_json).encode()})
    return pa.table([pa.array(values) for values in columns.values()], schema=schema)
