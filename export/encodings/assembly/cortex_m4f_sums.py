"""Sums of products in straight-line Cortex-M4F assembly, batch by batch: inputs are loaded into
registers, and weights from the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sparsectl.export.encodings.assembly.cortex_m4f_program import (
    Place,
    Program,
    Registers,
    float_registers,
    register_list,
)
from sparsectl.policy.activations import Float32

_WINDOW_BYTES = 1024  # what VLDR's offset reaches from an address
_FAR = "r12"


@dataclass(frozen=True)
class Product:
    """One product of `weight` and the register `input`, which is added to the register `sum`."""

    weight: float
    input: str
    sum: str


class Inputs:
    """The input registers: which column each of them holds, and how other columns are loaded."""

    def __init__(self, program: Program, place: Place, count: int) -> None:
        self._program = program
        self._place = place
        self._held: dict[int, str] = {}
        self._free = list(float_registers(0, count))
        self._window = 0

    def keep_all(self, columns: int) -> None:
        self._program.point(_FAR, self._place)
        loaded = float_registers(0, columns)
        text = f"vldmia {_FAR}, {register_list(loaded)}"
        self._program.add(text, loaded, (_FAR,), cycles=1 + columns)
        self._held = dict(enumerate(loaded))

    def room(self, columns: Sequence[int], column: int) -> bool:
        """Return whether `column` can be held beside `columns`."""
        wanted = {*columns, column}
        return wanted <= self._held.keys() or len(wanted) <= len(self._held) + len(self._free)

    def hold(self, columns: Sequence[int]) -> dict[int, str]:
        """Load the columns that are not held yet, and return the register of each."""
        missing = [column for column in columns if column not in self._held]
        for column in missing:
            if not self._free:
                old = next(each for each in self._held if each not in columns)
                self._free.append(self._held.pop(old))
            self._held[column] = self._free.pop(0)
            self._load(column, self._held[column])
        return {column: self._held[column] for column in columns}

    def _load(self, column: int, register: str) -> None:
        window, offset = divmod(self._place.offset_bytes + 4 * column, _WINDOW_BYTES)
        base = _FAR if window else self._place.register
        if window and window != self._window:
            self._program.point(_FAR, Place(self._place.register, window * _WINDOW_BYTES))
            self._window = window
        text = f"vldr {register}, [{base}, #{offset}]"
        self._program.add(text, (register,), (base,), cycles=2, load=True)


def add_block(
    program: Program, registers: Registers, inputs: Inputs, weight: Float32, bias: Float32
) -> None:
    """Add the sums of some rows to the program: the bias first, then the columns in ascending
    order."""
    places = [(int(c), int(r)) for c, r in zip(*np.nonzero(weight.T), strict=True)]
    first = True
    while places or first:
        batch = _batch(places, weight, registers.weights, inputs)
        places = places[len(batch) :]
        held = inputs.hold(list(dict.fromkeys(column for column, _ in batch)))
        products = [
            Product(float(weight[row, column]), held[column], f"s{registers.first_sum + row}")
            for column, row in batch
        ]
        _add_batch(program, registers, products, bias if first else ())
        first = False


def _batch(
    places: Sequence[tuple[int, int]], weight: Float32, most_weights: int, inputs: Inputs
) -> Sequence[tuple[int, int]]:
    """Return the first places for which there are enough weight and input registers."""
    columns: list[int] = []
    weights = 0
    for position, (column, row) in enumerate(places):
        weights += not _is_unit(float(weight[row, column]))
        if weights > most_weights or not inputs.room(columns, column):
            return places[:position]
        columns.append(column)
    return places


def add_products(program: Program, registers: Registers, products: Sequence[Product]) -> None:
    for start in range(0, len(products), registers.weights):
        _add_batch(program, registers, products[start : start + registers.weights], ())


def _add_batch(
    program: Program,
    registers: Registers,
    products: Sequence[Product],
    bias: Iterable[float],
) -> None:
    """Add each product to its sum. If `bias` is given, it contains the values that the sums start
    from."""
    loaded = [product for product in products if not _is_unit(product.weight)]
    first = registers.first_sum - len(loaded)
    program.load_words(first, [*(product.weight for product in loaded), *bias])
    taken = dict(zip(map(id, loaded), float_registers(first, len(loaded)), strict=True))
    for product in loaded:
        register = taken[id(product)]
        program.arithmetic("vmul", register, register, product.input)
    for product in products:
        operand = taken.get(id(product), product.input)
        operation = "vsub" if id(product) not in taken and product.weight < 0 else "vadd"
        program.arithmetic(operation, product.sum, product.sum, operand)


def double_relu(program: Program, registers: Registers, sums: Sequence[str]) -> None:
    """Replace each sum x by x + |x|, which is 2 max(x, 0)."""
    spare = float_registers(registers.inputs, registers.weights)
    for start in range(0, len(sums), len(spare)):
        pairs = list(zip(sums[start:], spare, strict=False))
        for each, magnitude in pairs:
            program.arithmetic("vabs", magnitude, each)
        for each, magnitude in pairs:
            program.arithmetic("vadd", each, each, magnitude)


def columns_held(weight: Float32, registers: Registers) -> list[Product]:
    """Return the products of the last layer with the values of the block, which are in the
    registers of the sums."""
    return [
        Product(
            float(weight[output, column]),
            f"s{registers.first_sum + column}",
            f"s{registers.first_output + output}",
        )
        for column, output in zip(*map(np.ndarray.tolist, np.nonzero(weight.T)), strict=True)
    ]


def _is_unit(weight: float) -> bool:
    return abs(weight) == 1
