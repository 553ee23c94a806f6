"""The activations of recurrent cells: gates, gated values, and the next state.

A layer computes the sums from the observation and the state, and also passes on the state as a run
of neurons with a weight of 1. A GRU whose reset gate is applied before its weights (Cho et al.
2014; ONNX's linear_before_reset of 0) takes two layers, `gated_product` and then `gru_update`; with
the gate applied after them (torch, cuDNN; linear_before_reset of 1) it is one layer with `gru`. An
LSTM (Hochreiter and Schmidhuber 1997; Gers et al. 2000) is `lstm_cell` and then `lstm_output`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy

from sparsectl.policy.activations.activation import (
    Activation,
    Float32,
    Float64,
    runs,
)
from sparsectl.policy.activations.sigmoid import SIGMOID, sigmoid
from sparsectl.policy.activations.tanh import TANH, tanh

_ROUNDING = 4e-7
"""Relative error of a sigmoid, a tanh and the few products and sums after them."""


def gated_product(x: Float32) -> Float32:
    """sigmoid(gate) value."""
    gate, value = runs(x, 2)
    return sigmoid(gate) * value


def gru_update(x: Float32) -> Float32:
    """(1 - z) tanh(new) + z state with z = sigmoid(update)."""
    update, new, state = runs(x, 3)
    return _kept(sigmoid(update), tanh(new), state)


def gru(x: Float32) -> Float32:
    """(1 - z) tanh(new + r recurrent) + z state with r = sigmoid(reset) and z = sigmoid(update)."""
    reset, update, new, recurrent, state = runs(x, 5)
    gated = sigmoid(reset) * recurrent
    return _kept(sigmoid(update), tanh(new + gated), state)


def lstm_cell(x: Float32) -> Float32:
    """sigmoid(forget) cell + sigmoid(input) tanh(new)."""
    taken, forget, new, cell = runs(x, 4)
    kept = sigmoid(forget) * cell
    added = sigmoid(taken) * tanh(new)
    return kept + added


def lstm_output(x: Float32) -> Float32:
    """sigmoid(output) tanh(cell)."""
    output, cell = runs(x, 2)
    return sigmoid(output) * tanh(cell)


def _kept(z: Float32, new: Float32, state: Float32) -> Float32:
    """Return (1 - z) new + z state, which is exactly the state if z is 1."""
    fresh = (np.float32(1) - z) * new
    held = z * state
    return np.asarray(fresh + held, np.float32)


def _sigmoid(x: Float64) -> Float64:
    return np.asarray(scipy.special.expit(x), np.float64)


def _gated_product_exact(x: Float64) -> Float64:
    gate, value = np.split(x, 2)
    return np.asarray(_sigmoid(gate) * value, np.float64)


def _gru_update_exact(x: Float64) -> Float64:
    update, new, state = np.split(x, 3)
    z = _sigmoid(update)
    return np.asarray((1 - z) * np.tanh(new) + z * state, np.float64)


def _gru_exact(x: Float64) -> Float64:
    reset, update, new, recurrent, state = np.split(x, 5)
    return _gru_update_exact(np.concatenate([update, new + _sigmoid(reset) * recurrent, state]))


def _lstm_cell_exact(x: Float64) -> Float64:
    taken, forget, new, cell = np.split(x, 4)
    return np.asarray(_sigmoid(forget) * cell + _sigmoid(taken) * np.tanh(new), np.float64)


def _lstm_output_exact(x: Float64) -> Float64:
    output, cell = np.split(x, 2)
    return np.asarray(_sigmoid(output) * np.tanh(cell), np.float64)


def _gate_error(error: Float64) -> Float64:
    """Bound the error of a sigmoid, given that of its argument: its slope is at most 1/4, its range
    1."""
    return np.asarray(np.minimum(error / 4, 1.0) + _ROUNDING, np.float64)


def _tanh_error(error: Float64) -> Float64:
    return np.asarray(np.minimum(error, 2.0) + _ROUNDING, np.float64)


def _product_error(gate: Float64, value: Float64, error: Float64) -> Float64:
    """Bound the error of a gate, at most 1, times a value with this error."""
    return np.asarray(gate * (np.abs(value) + error) + error + _ROUNDING * np.abs(value))


def _gated_product_carried(x: Float64, error: Float64) -> Float64:
    (_, value), (gate, off) = np.split(x, 2), np.split(error, 2)
    return _product_error(_gate_error(gate), value, off)


def _gru_update_carried(x: Float64, error: Float64) -> Float64:
    (_, _, state), (update, new, off) = np.split(x, 3), np.split(error, 3)
    gate = _gate_error(update)
    return np.asarray(
        gate * (1 + np.abs(state) + off) + _tanh_error(new) + off + _ROUNDING * np.abs(state)
    )


def _gru_carried(x: Float64, error: Float64) -> Float64:
    (_, update, new, recurrent, state) = np.split(x, 5)
    (reset_off, update_off, new_off, recurrent_off, state_off) = np.split(error, 5)
    gated = _product_error(_gate_error(reset_off), recurrent, recurrent_off)
    inner = new_off + gated + _ROUNDING * np.abs(new)
    return _gru_update_carried(
        np.concatenate([update, new, state]), np.concatenate([update_off, inner, state_off])
    )


def _lstm_cell_carried(x: Float64, error: Float64) -> Float64:
    (_, _, _, cell), (taken, forget, new, off) = np.split(x, 4), np.split(error, 4)
    kept = _product_error(_gate_error(forget), cell, off)
    return np.asarray(kept + _gate_error(taken) * 2 + _tanh_error(new))


def _lstm_output_carried(x: Float64, error: Float64) -> Float64:
    output, cell = np.split(error, 2)
    return np.asarray(_gate_error(output) * 2 + _tanh_error(cell))


def _loop(name: str, runs_of_neurons: tuple[str, ...], statements: tuple[str, ...]) -> str:
    """Return NAME_all: the statements for each unit, whose sums are in the named runs; the last one
    assigns the result."""
    taken = [
        f"        const float {run} = x[{f'{index} * units + ' if index > 1 else 'units + '}i];"
        if index
        else f"        const float {run} = x[i];"
        for index, run in enumerate(runs_of_neurons)
    ]
    lines = [*taken, *(f"        {statement}" for statement in statements)]
    body = "\n".join(lines)
    return f"""\
static void {name}_all(float *x, unsigned n)
{{
    const unsigned units = n / {len(runs_of_neurons)};
    for (unsigned i = 0; i < units; i++) {{
{body}
    }}
}}
"""


def _cell(
    name: str,
    forward: Callable[..., Float32],
    exact: Callable[..., Float64],
    carried: Callable[..., Float64],
    taken: tuple[str, ...],
    statements: tuple[str, ...],
    *,
    has_tanh: bool = True,
) -> Activation:
    own = (*SIGMOID.c_helpers, SIGMOID.c_one, *((TANH.c_one,) if has_tanh else ()))
    return Activation(
        name,
        forward=forward,
        exact=exact,
        c_all=_loop(name, taken, statements),
        c_helpers=own,
        carried=carried,
        absolute_error=_ROUNDING,
        needs_whole_layer=True,
        operands=len(taken),
    )


GATED_PRODUCT = _cell(
    "gated_product",
    gated_product,
    _gated_product_exact,
    _gated_product_carried,
    ("gate", "value"),
    ("x[i] = sigmoid_of(gate) * value;",),
    has_tanh=False,
)
_HOLD = (
    "const float z = sigmoid_of(update);",
    "const float fresh = (1.0f - z) * tanh_of(new_value);",
    "const float held = z * state;",
    "x[i] = fresh + held;",
)
GRU_UPDATE = _cell(
    "gru_update",
    gru_update,
    _gru_update_exact,
    _gru_update_carried,
    ("update", "new_value", "state"),
    _HOLD,
)
GRU = _cell(
    "gru",
    gru,
    _gru_exact,
    _gru_carried,
    ("reset", "update", "input", "recurrent", "state"),
    (
        "const float gated = sigmoid_of(reset) * recurrent;",
        "const float new_value = input + gated;",
        *_HOLD,
    ),
)
LSTM_CELL = _cell(
    "lstm_cell",
    lstm_cell,
    _lstm_cell_exact,
    _lstm_cell_carried,
    ("taken", "forget", "new_value", "cell"),
    (
        "const float kept = sigmoid_of(forget) * cell;",
        "const float added = sigmoid_of(taken) * tanh_of(new_value);",
        "x[i] = kept + added;",
    ),
)
LSTM_OUTPUT = _cell(
    "lstm_output",
    lstm_output,
    _lstm_output_exact,
    _lstm_output_carried,
    ("output", "cell"),
    ("x[i] = sigmoid_of(output) * tanh_of(cell);",),
)

CELLS = frozenset(cell.name for cell in (GATED_PRODUCT, GRU_UPDATE, GRU, LSTM_CELL, LSTM_OUTPUT))
"""The names of these activations."""
