"""Recurrent cells in ONNX's elementary operators, as their sums are a layer's already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Join(Protocol):
    def __call__(self, operator: str, name: str, *values: str) -> str:
        """Append a node of these inputs and give the name of what it makes."""


Cell = Callable[[Join, str, list[str], str], None]
"""(join, the name of what comes out, the runs of sums, the name of a constant 1)."""


def _gated_product(join: Join, name: str, runs: list[str], one: str) -> None:
    gate, value = runs
    join("Mul", name, join("Sigmoid", f"{name}.gate", gate), value)


def _gru_update(join: Join, name: str, runs: list[str], one: str) -> None:
    update, new, state = runs
    z = join("Sigmoid", f"{name}.z", update)
    fresh = join("Mul", f"{name}.fresh", join("Sub", f"{name}.rest", one, z), _tanh(join, new))
    join("Add", name, fresh, join("Mul", f"{name}.held", z, state))


def _gru(join: Join, name: str, runs: list[str], one: str) -> None:
    reset, update, new, recurrent, state = runs
    gated = join("Mul", f"{name}.gated", join("Sigmoid", f"{name}.r", reset), recurrent)
    _gru_update(join, name, [update, join("Add", f"{name}.n", new, gated), state], one)


def _lstm_cell(join: Join, name: str, runs: list[str], one: str) -> None:
    taken, forget, new, cell = runs
    kept = join("Mul", f"{name}.kept", join("Sigmoid", f"{name}.f", forget), cell)
    gate = join("Sigmoid", f"{name}.i", taken)
    join("Add", name, kept, join("Mul", f"{name}.added", gate, _tanh(join, new)))


def _lstm_output(join: Join, name: str, runs: list[str], one: str) -> None:
    output, cell = runs
    gate = join("Sigmoid", f"{name}.o", output)
    join("Mul", name, gate, _tanh(join, cell))


def _tanh(join: Join, value: str) -> str:
    return join("Tanh", f"{value}.tanh", value)


CELL_NODES: dict[str, Cell] = {
    "gated_product": _gated_product,
    "gru_update": _gru_update,
    "gru": _gru,
    "lstm_cell": _lstm_cell,
    "lstm_output": _lstm_output,
}
"""Writes the nodes of a cell, by the activation's name."""
