"""The registry of encodings, and the selection among them."""

from __future__ import annotations

from dataclasses import replace

from sparsectl.common.errors import UserError
from sparsectl.export.encodings.blocks import Blocks
from sparsectl.export.encodings.blocks_skip import BlocksSkip
from sparsectl.export.encodings.csr import Csr
from sparsectl.export.encodings.csr_float16 import CsrFloat16
from sparsectl.export.encodings.dense import Dense
from sparsectl.export.encodings.dense_fixed import DENSE_INT8, DENSE_INT16
from sparsectl.export.encodings.encoding import EncodedPolicy, Encoding, FixedEncoding
from sparsectl.export.encodings.packed import PACKED_INT8, PACKED_INT16
from sparsectl.export.encodings.straight import StraightFloat32
from sparsectl.export.encodings.straight_fixed import STRAIGHT_INT8, STRAIGHT_INT16
from sparsectl.export.encodings.stream import StreamInt16
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import PolicyGraph

AUTO = "auto"
AUTO_ENCODINGS = (Dense.name, Csr.name)
"""The encodings that "auto" chooses among: exact, small, and in plain C."""

FIXED: dict[str, FixedEncoding] = {
    encoding.name: encoding
    for encoding in (
        *(PACKED_INT16, PACKED_INT8, StreamInt16(), STRAIGHT_INT16, STRAIGHT_INT8),
        *(DENSE_INT16, DENSE_INT8),
    )
}
"""The fixed-point encodings."""

FLOAT: dict[str, Encoding] = {
    encoding.name: encoding
    for encoding in (Dense(), Blocks(), BlocksSkip(), Csr(), CsrFloat16(), StraightFloat32())
}

ENCODINGS: dict[str, Encoding] = {**FLOAT, **FIXED}

CONVOLVING = frozenset(
    {AUTO, "dense", "blocks", "blocks-skip", "csr", "csr-float16", "dense-int16", "dense-int8"}
)
"""The encodings that support convolutions; the others would store the weights once per place."""

FOR_CONVOLUTIONS_AND_STATES = frozenset({"dense-int16", "dense-int8"})
"""The encodings that a board's choice tries only for policies with convolutions or with a state;
requested by name, they work for any policy."""

ROUNDED = frozenset(name for name, each in ENCODINGS.items() if each.kind != "float32")
"""The encodings that round weights to less than float32."""


def encode(
    name: str, graph: PolicyGraph, observations: Float32, *, are_met: bool = False
) -> EncodedPolicy:
    """Encode `graph` with the encoding `name`; "auto" takes the one with the smallest tables.

    observations: calibrate fixed-point encodings, [count, observation_size]; for a recurrent policy
        each is followed by the state, [count, observation_size + state_size].
    are_met: whether the policy encounters such observations, rather than any in a box.

    Raises:
        UserError: there is no encoding of that name, or it does not support the graph.
    """
    if graph.state_size:
        tick = encode(name, graph.step_graph, observations, are_met=are_met)
        return replace(tick, graph=graph)
    if graph.has_convolutions and name not in CONVOLVING:
        raise UserError(
            f"encoding {name!r} has no convolutions; choose {', '.join(sorted(CONVOLVING))}"
        )
    if name == AUTO:
        encoded = [ENCODINGS[each].encode(graph, observations) for each in AUTO_ENCODINGS]
        return min(encoded, key=lambda policy: policy.table_bytes)
    if name not in ENCODINGS:
        raise UserError(f"encoding {name!r} is not known; use {AUTO}, {', '.join(ENCODINGS)}")
    if name in FIXED:
        return FIXED[name].encode(graph, observations, are_met=are_met)
    return FLOAT[name].encode(graph, observations)
