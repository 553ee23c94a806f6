"""The state of a recurrent file as it is read: what it is after a tick, and after a reset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.onnx_file.node import Value
from sparsectl.policy.onnx_file.program import Program
from sparsectl.policy.onnx_file.symbol import Symbol, constants, joined
from sparsectl.policy.onnx_file.tensors import short
from sparsectl.policy.onnx_file.ticks import Carried


@dataclass(frozen=True)
class State:
    """All parts of it, one after another."""

    after: Symbol
    """The next state, a vector whose every number is an atom or a constant."""
    reset: tuple[float, ...]


def state_of(states: Sequence[Carried], values: Mapping[str, Value], program: Program) -> State:
    """Return the state of the policy, from the values that the nodes made.

    Raises:
        UserError: a part of another size after the tick or after a reset.
    """
    after = [_next_state(program, values.get(state.output), state) for state in states]
    reset = [number for state in states for number in _reset(values, state)]
    return State(joined([constants(np.zeros(0)), *after], 0), tuple(reset))


def _reset(values: Mapping[str, Value], state: Carried) -> list[float]:
    if state.reset is None:
        return [0.0] * state.size
    value = values.get(state.reset)
    if not isinstance(value, np.ndarray):
        raise UserError(
            f"the initial state {short(state.reset)} is not a constant; give it as an input of its "
            "own, or leave it away"
        )
    if value.size != state.size:
        raise UserError(
            f"the initial state {short(state.reset)} has the shape {list(value.shape)} for "
            f"{state.size} units and one observation; give [1, batch, {state.size}]"
        )
    numbers: list[float] = np.asarray(value, np.float64).reshape(-1).tolist()
    return numbers


def _next_state(program: Program, value: Value, state: Carried) -> Symbol:
    """Return a state after the tick; each of its numbers is an atom of its own."""
    if isinstance(value, np.ndarray):
        value = constants(np.asarray(value, np.float64))
    if value is None or value.size != state.size:
        size = 0 if value is None else value.size
        raise UserError(
            f"its state {short(state.input)} has {state.size} values, and "
            f"{short(state.output)}, the next one, {size}; make the sizes equal"
        )
    flat = value.flat()
    plain = (flat.scale == 1) & (flat.shift == 0) & (flat.offset == 0)
    return flat if plain.all() else program.apply("identity", flat)
