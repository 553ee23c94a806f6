"""The operands of recurrent units: what each is taken for, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sparsectl.export.encodings.fixed import curve
from sparsectl.export.encodings.fixed.bounds import Bounds
from sparsectl.export.encodings.fixed.matrix import UPPER
from sparsectl.export.encodings.fixed.steps import Operand
from sparsectl.policy.activations import Float64
from sparsectl.policy.graph import Layer

GATE, TANH, RECURRENT, STATE = "gate", "tanh", "recurrent", "state"
OPERANDS: dict[str, tuple[tuple[str, str], ...]] = {
    "tanh": (("input", TANH),),
    "gru": (
        *(("reset", GATE), ("update", GATE), ("input", TANH)),
        *(("recurrent", RECURRENT), ("state", STATE)),
    ),
    "gru_update": (("update", GATE), ("input", TANH), ("state", STATE)),
    "gated_product": (("opened", GATE), ("value", STATE)),
    "lstm_cell": (("taken", GATE), ("forget", GATE), ("input", TANH), ("state", STATE)),
    "lstm_output": (("output", GATE), ("state", TANH)),
}
"""The operands of each kind of unit: name and role."""

WITHIN_ONE = ("gru", "gru_update")
"""Their results lie between their state and 1."""
UPDATED = (*WITHIN_ONE, "lstm_cell")
"""Their results are the next state."""

BITS = {GATE: curve.INPUT_BITS, TANH: curve.INPUT_BITS}


@dataclass(frozen=True)
class Source:
    """The source of an operand."""

    is_value: bool
    start: int
    exponent: int
    """Exponent of its numbers, which are multiples of 2^-exponent."""
    reach: int
    """Their greatest magnitude."""
    reads_upper: bool = False
    """True if they are sums of upper bytes, which may have too few bits."""
    added: Source | None = None
    """Sums that are added to it."""

    def at(self, bits: int) -> int:
        """Return the greatest magnitude in multiples of 2^-bits."""
        drop = self.exponent - bits
        own = (self.reach >> drop) + 1 if drop > 0 else self.reach << -drop
        return own + self.added.at(bits) if self.added else own

    def bits_for(self, limit: int) -> int:
        """Return the most bits, up to its own, with which it stays within `limit`."""
        bits = self.exponent
        while self.at(bits) > limit:
            bits -= 1
        return bits

    def operand(self, name: str, bits: int) -> Operand:
        return Operand(
            name,
            self.start,
            self.is_value,
            self.exponent - bits,
            self.at(bits).bit_length() + 1,
            self.added.operand(name, bits) if self.added else None,
        )


def upper(part: Layer, scale: Float64, inputs: Bounds) -> tuple[Layer, Float64, Bounds]:
    """Return neurons, scales and bounds for the upper bytes of the values that neurons read: their
    biases then include half of a step, which on average is what the lower bytes add."""
    scale = scale / 2**UPPER
    half = 0.5 * (part.weight / scale).sum(axis=1)
    bounds = Bounds(inputs.lowest >> UPPER, inputs.highest >> UPPER)
    return replace(part, bias=(part.bias + half).astype(np.float32)), scale, bounds
