"""Encodings turn a graph into an encoded policy, with its C and its exact reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from numpy.typing import ArrayLike

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.table import Table
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.sequences import run_sequence

Kind = Literal["float32", "float16", "int16", "int8"]


class Encoding(Protocol):
    """A way to store and run a graph on a chip."""

    name: str
    summary: str
    """One line about the form of the weights."""
    kind: Kind
    """The form of a weight. float32 agrees bit for bit with `PolicyGraph.forward` of the encoded
    graph; straight-float32 with that of the same function with scaled weights (`unit_weights`), so
    its last bits differ from those of csr and dense."""
    cores: frozenset[str] | None
    """The cores that it is intended for; None: any. Its C compiles and agrees on every core."""

    def encode(self, graph: PolicyGraph, observations: Float32) -> EncodedPolicy:
        """Encode `graph`, whose normaliser has been folded and which keeps no state; of a recurrent
        policy this is the tick (`export.encodings.registry.encode`).

        observations: [count, observation_size] in physical units, with which fixed-point scales are
        calibrated.

        Raises:
            UserError: the graph exceeds a limit of the encoding.
        """


class FixedEncoding(Encoding, Protocol):
    """A fixed-point encoding."""

    def encode(
        self, graph: PolicyGraph, observations: Float32, *, are_met: bool = False
    ) -> EncodedPolicy:
        """Encode the graph, as `Encoding.encode` does.

        are_met: whether the policy encounters such observations; if so, weights compensate for each
        other's rounding on them (`export.encodings.fixed.obq`).
        """


@dataclass(frozen=True)
class Code:
    """The C of policy_act, or of the tick of a recurrent policy, and of the functions that it
    calls."""

    functions: str
    body: tuple[str, ...]
    """The lines of its body, which read the array `observation` and write the array `action`."""
    bits: frozenset[str] = frozenset()
    """Which of bits_of and float_of (`policy.activations.bits`) the functions call."""


def indented(line: str) -> str:
    """Indent a line of a function's body."""
    return line if line.startswith("#") else f"    {line}".rstrip()


@dataclass(frozen=True)
class EncodedPolicy:
    """A graph in an encoding. For a recurrent policy, everything but the graph refers to its
    tick."""

    encoding: Encoding
    graph: PolicyGraph
    tables: tuple[Table, ...]
    write: Callable[[CStyle], Code]
    """The C beside the tables."""
    forward: Callable[[ArrayLike], Float32]
    """Computes what the C computes, bit for bit; shapes as in `PolicyGraph.forward` of
    `graph.step_graph`."""
    assembly: Callable[[CStyle], str] | None = None
    """policy.S, which replaces some functions on the core that it is written for; None: there is no
    such file."""
    reentrant: bool = True
    input_cut_off: tuple[float, ...] | None = None
    """The magnitude at which each input of a tick saturates; None: nowhere."""

    @property
    def tick(self) -> EncodedPolicy:
        """Return the same with the tick as a policy without a state."""
        return replace(self, graph=self.graph.step_graph) if self.graph.state_size else self

    @property
    def observation_cut_off(self) -> tuple[float, ...] | None:
        """Return the magnitude at which each element of the observation saturates; None if none
        does."""
        cut = self.input_cut_off
        return None if cut is None else cut[: self.graph.observation_size]

    def run(self, observations: Float32, resets: ArrayLike | None = None) -> Float32:
        """Return the actions of a sequence, as `PolicyGraph.run` does."""
        start = self.graph.initial_state()
        return run_sequence(self.forward, start, observations, resets).actions

    @property
    def table_bytes(self) -> int:
        """Return the bytes of flash that the tables take; the code is not counted."""
        return sum(table.size_bytes for table in self.tables)
