"""RNN, GRU and LSTM of one step: their sums are layers of weights, their gates activations."""

from __future__ import annotations

from typing import Final

import numpy as np

from sparsectl.policy.activations import Float64
from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.symbol import Symbol, joined

_DEFAULT: Final = {
    "RNN": ("Tanh",),
    "GRU": ("Sigmoid", "Tanh"),
    "LSTM": ("Sigmoid", "Tanh", "Tanh"),
}
_OF_RNN: Final = {"Tanh": "tanh", "Relu": "relu", "Sigmoid": "sigmoid"}
_GATES: Final = {"RNN": 1, "GRU": 3, "LSTM": 4}
_STACK: Final = "export layers that follow one another in one direction"


class _Cell:
    """Checks and prepares what the three recurrent operators have in common."""

    def __init__(self, node: Node) -> None:
        self.node, self.gates = node, _GATES[node.operator]
        self.units = node.whole("hidden_size", 0)
        self._refuse_options()
        x = node.symbol(0)
        if x.ndim != 3:
            node.refuse(f"its input has the shape {list(x.shape)}, not [sequence, batch, values]")
        if x.shape[0] != 1 or x.shape[1] != 1 or x.batch == 0:
            node.refuse(
                f"its input has the shape {list(x.shape)} for one observation; a tick is a "
                "sequence of one step, so export it for a sequence of length 1 (with batch_first "
                "where the batch comes first)"
            )
        self.batch = x.batch
        self.x = x.flat()
        self.weight = self._weights(1, self.x.size)
        self.recurrent = self._weights(2, self.units)
        self.bias, self.recurrent_bias = self._biases()
        self.state = self._state(5)

    def _refuse_options(self) -> None:
        node = self.node
        direction = node.text("direction", "forward")
        if direction != "forward":
            node.refuse(f"its direction is {direction!r}, and a controller has no future; {_STACK}")
        if node.whole("layout", 0):
            node.refuse("its layout is 1 (the batch first); export it with layout 0 and Transpose")
        if "clip" in node.attributes:
            node.refuse("it clips its sums (attribute clip); leave the clip away")
        if node.input(4) is not None:
            node.refuse("it is given sequence_lens; leave them away, as a tick is one step")
        for option in ("activation_alpha", "activation_beta"):
            if option in node.attributes:
                node.refuse(f"its activations have parameters ({option}); use the plain ones")
        if node.whole("input_forget", 0):
            node.refuse("its input and forget gates are one (input_forget); train them apart")
        if self.units < 1:
            node.refuse("it does not say its hidden_size; export it again")

    def activations(self) -> tuple[str, ...]:
        given = self.node.attributes.get("activations")
        default = _DEFAULT[self.node.operator]
        if given is None:
            return default
        names = tuple(
            name.decode("utf-8", "replace") if isinstance(name, bytes) else "?" for name in given
        )
        if len(names) != len(default):
            self.node.refuse(f"it has {len(names)} activations, not {len(default)}")
        return names

    def require_default(self) -> None:
        """Refuse gates with other functions than the default."""
        names, default = self.activations(), _DEFAULT[self.node.operator]
        if names != default:
            self.node.refuse(
                f"its activations are {', '.join(names)[:60]}; only {', '.join(default)} have C as "
                "gates, so train with these"
            )

    def _weights(self, index: int, inputs: int) -> Float64:
        """Return the weights, [gates, units, inputs]."""
        given = self.node.constant(index)
        shape = (1, self.gates * self.units, inputs)
        if given.shape != shape:
            self.node.refuse(
                f"its input {index} has the shape {list(given.shape)}, not {list(shape)}"
            )
        return np.asarray(given[0].reshape(self.gates, self.units, inputs), np.float64)

    def _biases(self) -> tuple[Float64, Float64]:
        """Return the biases of the input and of the state, each [gates, units]."""
        size = 2 * self.gates * self.units
        if self.node.input(3) is None:
            return (np.zeros((self.gates, self.units)),) * 2
        given = self.node.constant(3)
        if given.shape != (1, size):
            self.node.refuse(f"its biases have the shape {list(given.shape)}, not [1, {size}]")
        first, second = np.asarray(given, np.float64).reshape(2, self.gates, self.units)
        return first, second

    def _state(self, index: int) -> Symbol:
        state = self.node.numbers_of(index)
        if state.shape != (1, 1, self.units):
            self.node.refuse(
                f"its initial state has the shape {list(state.shape)} for one observation and "
                f"{self.units} units; give [1, batch, {self.units}]"
            )
        return state.flat()

    def sums(self, gate: int, peephole: Float64 | None = None) -> Symbol:
        """Return W x + b + U h + c of a gate, and p c if the gate sees the cell."""
        parts, given = [self.weight[gate], self.recurrent[gate]], [self.x, self.state]
        if peephole is not None:
            parts.append(np.diag(peephole))
            given.append(self.cell)
        return self._dense(given, parts, self.bias[gate] + self.recurrent_bias[gate])

    def _dense(self, given: list[Symbol], weights: list[Float64], bias: Float64) -> Symbol:
        return self.node.program.dense(joined(given, 0), np.concatenate(weights, axis=1), bias)

    @property
    def cell(self) -> Symbol:
        """Return the cell state of an LSTM."""
        return self._state(6)

    def results(self, state: Symbol, *others: Symbol) -> Result:
        """Return Y [sequence, directions, batch, units], Y_h and Y_c [directions, batch, units]."""
        batch = self.batch is not None
        shape = (1, 1, 1, self.units)
        whole = state.moved(lambda a: a.reshape(shape), 2 if batch else None)
        ends = [
            each.moved(lambda a: a.reshape(shape[1:]), 1 if batch else None)
            for each in (state, *others)
        ]
        return (whole, *ends)


@operator("RNN")
def rnn(node: Node) -> Result:
    """h' = f(W x + b + U h + c)."""
    cell = _Cell(node)
    (name,) = cell.activations()
    if name not in _OF_RNN:
        node.refuse(f"its activation is {name[:40]!r}; train with one of {', '.join(_OF_RNN)}")
    return cell.results(node.program.apply(_OF_RNN[name], cell.sums(0)))


@operator("GRU")
def gru(node: Node) -> Result:
    """The gates of ONNX's arrays are z, r and the new state's; the reset gate is applied before
    the weights (linear_before_reset 0) or after."""
    cell, program = _Cell(node), node.program
    cell.require_default()
    update, reset = cell.sums(0), cell.sums(1)
    if node.whole("linear_before_reset", 0):
        given = program.dense(cell.x, cell.weight[2], cell.bias[2])
        held = program.dense(cell.state, cell.recurrent[2], cell.recurrent_bias[2])
        return cell.results(program.apply("gru", reset, update, given, held, cell.state))
    gated = program.apply("gated_product", reset, cell.state)
    update = program.apply("identity", update)  # so that the observation is not carried further
    new = program.apply("identity", program.dense(cell.x, cell.weight[2], cell.bias[2]))
    held = program.dense(
        joined([gated, new], 0), _beside(cell.recurrent[2]), cell.recurrent_bias[2]
    )
    return cell.results(program.apply("gru_update", update, held, cell.state))


@operator("LSTM")
def lstm(node: Node) -> Result:
    """The gates of ONNX's arrays are i, o, f and c; peepholes are i, o and f."""
    cell, program = _Cell(node), node.program
    cell.require_default()
    peephole: list[Float64 | None] = [None, None, None]
    if node.input(7) is not None:
        given = np.asarray(node.constant(7), np.float64)
        if given.shape != (1, 3 * cell.units):
            node.refuse(f"its peepholes have the shape {list(given.shape)}")
        peephole = list(given.reshape(3, cell.units))
    taken, forget = cell.sums(0, peephole[0]), cell.sums(2, peephole[2])
    kept = program.apply("lstm_cell", taken, forget, cell.sums(3), cell.cell)
    output = program.apply("identity", cell.sums(1))
    if peephole[1] is not None:
        weight = np.concatenate([np.eye(cell.units), np.diag(peephole[1])], axis=1)
        output = program.dense(joined([output, kept], 0), weight, np.zeros(cell.units))
    return cell.results(program.apply("lstm_output", output, kept), kept)


def _beside(weight: Float64) -> Float64:
    """Concatenate values with others that are passed on unchanged."""
    return np.concatenate([weight, np.eye(len(weight))], axis=1)
