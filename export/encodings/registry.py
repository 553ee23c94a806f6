"""The encodings there are, and the choice among them."""

from __future__ import annotations

from common.errors import UserError
from export.activations import Float32
from export.encodings.blocks import Blocks
from export.encodings.blocks_skip import BlocksSkip
from export.encodings.csr import Csr
from export.encodings.csr_float16 import CsrFloat16
from export.encodings.dense import Dense
from export.encodings.encoding import EncodedPolicy, Encoding
from export.encodings.packed import PACKED_INT8, PACKED_INT16
from export.encodings.straight import StraightFloat32
from export.encodings.straight_fixed import STRAIGHT_INT8, STRAIGHT_INT16
from export.encodings.stream import StreamInt16
from export.graph import PolicyGraph

AUTO = "auto"
AUTO_ENCODINGS = (Dense.name, Csr.name)
"""What "auto" chooses among: exact, small, and in plain C."""

ENCODINGS: dict[str, Encoding] = {
    encoding.name: encoding
    for encoding in (
        Dense(),
        Blocks(),
        BlocksSkip(),
        Csr(),
        CsrFloat16(),
        PACKED_INT16,
        PACKED_INT8,
        StreamInt16(),
        StraightFloat32(),
        STRAIGHT_INT16,
        STRAIGHT_INT8,
    )
}


def encode(name: str, graph: PolicyGraph, observations: Float32) -> EncodedPolicy:
    """`graph` in the encoding `name`, or with "auto" in the one whose tables are smallest.

    observations: what fixed-point encodings are calibrated on, [count, observation_size].

    Raises:
        UserError: no encoding of that name, or it cannot take the graph.
    """
    if name == AUTO:
        encoded = [ENCODINGS[each].encode(graph, observations) for each in AUTO_ENCODINGS]
        return min(encoded, key=lambda policy: policy.table_bytes)
    if name not in ENCODINGS:
        raise UserError(f"encoding {name!r} is not known; use {AUTO}, {', '.join(ENCODINGS)}")
    return ENCODINGS[name].encode(graph, observations)
