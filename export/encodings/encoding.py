"""Encodings turn a graph into an encoded policy, with its C and its exact reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

import numpy as np
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


SPOILED: Final = -(2**15)
"""The whole number that each value of a state holds once an observation was NaN, up to the next
reset; no other value is this low."""


@dataclass(frozen=True)
class WholeState:
    """A state as the C keeps it in int16_t."""

    exponent: tuple[int, ...]
    """[state_size]: a value is round(value 2^exponent)."""
    limit: tuple[int, ...]
    """[state_size]: the magnitude at which it saturates."""

    def whole(self, state: Float32) -> Float32:
        """Return the whole numbers of states, [..., state_size], halves away from zero; all are
        `SPOILED` where one is NaN."""
        with np.errstate(over="ignore", invalid="ignore"):
            size = np.abs(state.astype(np.float64)) * np.exp2(np.array(self.exponent, np.float64))
            size = np.minimum(np.floor(size + 0.5), self.limit)
        found = np.where(np.signbit(state), -size, size)
        spoiled = np.isnan(state).any(axis=-1, keepdims=True)
        return np.where(spoiled, SPOILED, found).astype(np.float32)

    def floats(self, whole: Float32) -> Float32:
        """Return the values of whole numbers, [..., state_size]."""
        unit = np.exp2(-np.array(self.exponent, np.float64))
        return np.where(whole == SPOILED, np.nan, whole * unit).astype(np.float32)


@dataclass(frozen=True)
class WholeNumbers:
    """The whole numbers of 16 bits that a tick in fixed point takes and gives."""

    input_exponent: tuple[int, ...]
    """[inputs]: an input is round(value 2^exponent)."""
    input_limit: tuple[int, ...]
    """[inputs]: the magnitude at which it saturates."""
    result_exponent: tuple[int | None, ...]
    """[results]: the same of a result that is handed on; None: it has another form."""


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
    whole: WholeNumbers | None = None
    """None: a tick computes in floats."""

    @property
    def whole_state(self) -> WholeState | None:
        """Return how the C keeps the state if that is in whole numbers, because a tick hands them
        on as it takes them; None: it keeps floats, or there is no state."""
        size = self.graph.state_size
        if self.whole is None or not size:
            return None
        taken = self.whole.input_exponent[-size:]
        if taken != self.whole.result_exponent[-size:]:
            return None
        return WholeState(taken, self.whole.input_limit[-size:])

    def over_floats(self, tick: Callable[[Float32], Float32]) -> Callable[[Float32], Float32]:
        """Return a tick of the C, whose states are in the C's own form, as one of floats
        throughout: [count, observation and state] to [count, action and state]."""
        state, size = self.whole_state, self.graph.state_size
        if state is None:
            return tick

        def act(rows: Float32) -> Float32:
            own = np.concatenate([rows[:, :-size], state.whole(rows[:, -size:])], axis=1)
            made = tick(own)
            return np.concatenate([made[:, :-size], state.floats(made[:, -size:])], axis=1)

        return act

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
