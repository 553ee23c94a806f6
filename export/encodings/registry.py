"""The encodings there are, and the choice among them."""

from __future__ import annotations

from common.errors import UserError
from export.encodings.csr import Csr
from export.encodings.dense import Dense
from export.encodings.encoding import Encoding, table_bytes
from export.graph import PolicyGraph

AUTO = "auto"

ENCODINGS: dict[str, Encoding] = {encoding.name: encoding for encoding in (Dense(), Csr())}


def choose_encoding(name: str, graph: PolicyGraph) -> Encoding:
    """The encoding `name`, or with "auto" the one whose tables are smallest for `graph`.

    Raises:
        UserError: no encoding of that name.
    """
    if name == AUTO:
        return min(ENCODINGS.values(), key=lambda encoding: table_bytes(encoding, graph))
    if name not in ENCODINGS:
        raise UserError(f"encoding {name!r} is not known; use {AUTO}, {', '.join(ENCODINGS)}")
    return ENCODINGS[name]
