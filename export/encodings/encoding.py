"""What an encoding is: a graph in, an encoded policy out, with the C and its exact reference."""

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
    """One line: the form of the weights."""
    kind: Kind
    """The form of a weight. float32 agrees bit for bit with `PolicyGraph.forward` of the graph that
    was encoded; straight-float32 with that of the same function written with other weights
    (`unit_weights`), so that its last bits differ from those of csr and dense."""
    cores: frozenset[str] | None
    """The cores that it is made for; None: any. Its C compiles and agrees on every core."""

    def encode(self, graph: PolicyGraph, observations: Float32) -> EncodedPolicy:
        """`graph`, whose normaliser has been folded and which keeps no state, in this encoding: of
        a recurrent policy its tick (`export.encodings.registry.encode`).

        observations: [count, observation_size] in physical units, what fixed-point scales are
        calibrated on.

        Raises:
            UserError: the graph has more of something than the encoding can take.
        """


class FixedEncoding(Encoding, Protocol):
    """One in fixed point."""

    def encode(
        self, graph: PolicyGraph, observations: Float32, *, are_met: bool = False
    ) -> EncodedPolicy:
        """As `Encoding.encode`.

        are_met: whether the observations are such as the policy meets; by those, weights make up
        for one another's rounding (`export.encodings.fixed.obq`).
        """


@dataclass(frozen=True)
class Code:
    """policy_act, or the tick of a recurrent policy, and what it calls, in C."""

    functions: str
    body: tuple[str, ...]
    """Its lines: they read the array `observation` and leave the array `action`."""
    bits: frozenset[str] = frozenset()
    """Which of bits_of and float_of (`policy.activations.bits`) the functions call."""


def indented(line: str) -> str:
    """A line of a function's body."""
    return line if line.startswith("#") else f"    {line}".rstrip()


@dataclass(frozen=True)
class EncodedPolicy:
    """A graph in an encoding. Of a recurrent policy all but the graph is of its tick."""

    encoding: Encoding
    graph: PolicyGraph
    tables: tuple[Table, ...]
    write: Callable[[CStyle], Code]
    """The C beside the tables."""
    forward: Callable[[ArrayLike], Float32]
    """What the C computes, bit for bit; shapes as `PolicyGraph.forward` of `graph.step_graph`."""
    assembly: Callable[[CStyle], str] | None = None
    """policy.S, which stands in for some functions on the core that it is for; None: there is no
    such file."""
    reentrant: bool = True
    input_cut_off: tuple[float, ...] | None = None
    """The magnitude at which each value that a tick takes is cut off; None: nowhere."""

    @property
    def tick(self) -> EncodedPolicy:
        """The same with the tick as a policy without a state."""
        return replace(self, graph=self.graph.step_graph) if self.graph.state_size else self

    @property
    def observation_cut_off(self) -> tuple[float, ...] | None:
        """The magnitude at which each element of the observation is cut off; None: nowhere."""
        cut = self.input_cut_off
        return None if cut is None else cut[: self.graph.observation_size]

    def run(self, observations: Float32, resets: ArrayLike | None = None) -> Float32:
        """The actions of a sequence, as `PolicyGraph.run`."""
        start = self.graph.initial_state()
        return run_sequence(self.forward, start, observations, resets).actions

    @property
    def table_bytes(self) -> int:
        """Bytes of flash that the tables take; the code is not counted."""
        return sum(table.size_bytes for table in self.tables)
