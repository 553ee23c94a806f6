"""A recurrent policy from its cells: layers of weights and gated recurrent units, one after the
other, as torch has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sparsectl.common.errors import UserError
from sparsectl.policy.graph import Layer, PolicyGraph, Segment, Signal

GATES = 3
"""Reset, update and new: the order of torch's rows."""


@dataclass(frozen=True, eq=False)
class Gru:
    """A layer of gated recurrent units, with arrays as `torch.nn.GRU` has them.

    r = sigmoid(W_r x + b_r + U_r h + c_r), z = sigmoid(W_z x + b_z + U_z h + c_z),
    n = tanh(W_n x + b_n + r (U_n h + c_n)), h' = (1 - z) n + z h.

    Without linear_before_reset, n = tanh(W_n x + b_n + U_n (r h) + c_n): ONNX's default.
    """

    weight_ih: ArrayLike
    """W, [3 units, inputs]: the rows of r, z and n."""
    weight_hh: ArrayLike
    """U, [3 units, units]."""
    bias_ih: ArrayLike
    """b, [3 units]."""
    bias_hh: ArrayLike
    """c, [3 units]."""
    reset_state: ArrayLike | None = None
    """h before the first tick, [units]; None: zeros."""
    linear_before_reset: bool = True
    """True if the reset gate multiplies U_n h + c_n, as in torch; False if it multiplies h."""

    def __post_init__(self) -> None:
        units = np.shape(self.weight_hh)[-1] if np.ndim(self.weight_hh) == 2 else 0
        columns = np.shape(self.weight_ih)[-1] if np.ndim(self.weight_ih) == 2 else 0
        wanted = {
            "weight_ih": (GATES * units, columns),
            "weight_hh": (GATES * units, units),
            "bias_ih": (GATES * units,),
            "bias_hh": (GATES * units,),
        }
        for name, shape in wanted.items():
            found = np.shape(getattr(self, name))
            if found != shape or not units or not columns:
                raise UserError(
                    f"{name} of a GRU is of shape {list(found)}; give [3 units, inputs], "
                    "[3 units, units], [3 units] and [3 units] as torch.nn.GRU has them"
                )
        if self.reset_state is not None and np.shape(self.reset_state) != (units,):
            raise UserError(
                f"a reset state of shape {list(np.shape(self.reset_state))} for {units} units; "
                "give one value a unit"
            )

    @property
    def units(self) -> int:
        return int(np.shape(self.weight_hh)[1])

    @property
    def start(self) -> tuple[float, ...]:
        """Return the state after a reset."""
        if self.reset_state is None:
            return (0.0,) * self.units
        return tuple(np.asarray(self.reset_state, np.float64).tolist())


def recurrent_policy(
    blocks: Sequence[Layer | Gru],
    observation: Sequence[Signal],
    action: Sequence[Signal],
    **fields: Any,
) -> PolicyGraph:
    """Return the policy that runs `blocks` one after another, each reading what the one before
    gives.

    observation, action, fields (frames, period_s, rig, environment, provenance): those of
    `PolicyGraph`.

    Raises:
        UserError: shapes that do not fit, weights that are not finite, or no layer of units.
    """
    cells = [block for block in blocks if isinstance(block, Gru)]
    if not cells:
        raise UserError("no layer of recurrent units among the blocks; build a PolicyGraph")
    if isinstance(blocks[-1], Gru):
        units = blocks[-1].units
        blocks = [*blocks, Layer(np.eye(units, dtype=np.float32), np.zeros(units, np.float32))]
    frames = int(fields.get("frames", 1))
    chain = _Chain(frames * len(observation), [cell.units for cell in cells])
    for index, block in enumerate(blocks):
        try:
            chain.add(block)
        except UserError as error:
            raise UserError(f"block {index}: {error}") from error
    start = tuple(value for cell in cells for value in cell.start)
    return PolicyGraph(
        tuple(chain.layers), tuple(observation), tuple(action), reset_state=start, **fields
    )


class _Chain:
    """The layers so far, and at which of the last one's results each value is found."""

    def __init__(self, observed: int, units: list[int]) -> None:
        self.layers: list[Layer] = []
        self.width = observed + sum(units)
        self.values = np.arange(observed)
        ends = observed + np.cumsum(units)
        self.old = [np.arange(end - n, end) for end, n in zip(ends, units, strict=True)]
        """The states that no layer of units has taken yet."""
        self.new: list[np.ndarray] = []
        """The states of the next tick."""

    def add(self, block: Layer | Gru) -> None:
        if isinstance(block, Layer):
            self._add_layer(block)
        elif block.linear_before_reset:
            self._add_gru(block)
        else:
            self._add_gru_before(block)

    def _add_layer(self, block: Layer) -> None:
        if block.convolution is not None:
            raise UserError("a convolution beside a state is not possible; give its matrix")
        self._check(block.inputs)
        self._append(self._placed(block.weight, self.values), block.bias, block.parts)

    def _add_gru(self, cell: Gru) -> None:
        """Add one layer: the sums of r and z, both parts of n's, and the state."""
        (w, u, b, c), state = self._taken(cell)
        units, zero = cell.units, np.zeros(cell.units)
        nothing = np.zeros((units, len(self.values)))
        inputs = np.concatenate([*w, nothing, nothing])
        recurrent = np.concatenate([u[0], u[1], 0 * u[2], u[2], np.eye(units)])
        weight = self._placed(inputs, self.values) + self._placed(recurrent, state)
        bias = np.concatenate([b[0] + c[0], b[1] + c[1], b[2], c[2], zero])
        self._append(weight, bias, (Segment(5 * units, "gru"),))
        self.new.append(self.values)

    def _add_gru_before(self, cell: Gru) -> None:
        """Add two layers: r h with the sum of z and the input's part of n's sum, then the state."""
        (w, u, b, c), state = self._taken(cell)
        units = cell.units
        self.old.insert(0, state)
        first = self._placed(w[0], self.values) + self._placed(u[0], state)
        held = self._placed(np.eye(units), state)
        update = self._placed(w[1], self.values) + self._placed(u[1], state)
        fresh = self._placed(w[2], self.values)
        parts = (Segment(2 * units, "gated_product"), Segment(2 * units))
        bias = [b[0] + c[0], np.zeros(units), b[1] + c[1], b[2] + c[2]]
        self._append(np.concatenate([first, held, update, fresh]), np.concatenate(bias), parts)
        gated, update_sum, fresh_sum = np.split(self.values, 3)
        state = self.old.pop(0)
        one = np.eye(units)
        new = self._placed(one, fresh_sum) + self._placed(u[2], gated)
        sums = [self._placed(one, update_sum), new, self._placed(one, state)]
        self._append(np.concatenate(sums), np.zeros(3 * units), (Segment(3 * units, "gru_update"),))
        self.new.append(self.values)

    def _taken(self, cell: Gru) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the arrays of a cell by gate, and where its state is found."""
        self._check(np.shape(cell.weight_ih)[1])
        arrays = (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
        given = [np.asarray(array, np.float64) for array in arrays]
        by_gate = [array.reshape(GATES, cell.units, *array.shape[1:]) for array in given]
        return by_gate, self.old.pop(0)

    def _check(self, inputs: int) -> None:
        if inputs != len(self.values):
            raise UserError(
                f"it takes {inputs} values but there are {len(self.values)} before it; make the "
                "sizes equal"
            )

    def _placed(self, weight: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Spread the weights of some of the values over all values."""
        placed = np.zeros((len(weight), self.width))
        placed[:, columns] = weight
        return placed

    def _append(self, weight: np.ndarray, bias: np.ndarray, parts: tuple[Segment, ...]) -> None:
        """Append a layer with these neurons, and with others that pass the states on."""
        results = sum(part.results for part in parts)
        carried = np.concatenate([*self.old, *self.new, np.zeros(0, np.intp)]).astype(np.intp)
        count = len(carried)
        lengths = np.cumsum([len(state) for state in (*self.old, *self.new)], dtype=np.intp)
        starts = [results, *(results + lengths).tolist()]
        rows = self._placed(np.eye(count), carried)
        self.layers.append(
            Layer(
                np.concatenate([weight, rows]),
                np.concatenate([bias, np.zeros(count)]),
                segments=(*parts, *((Segment(count),) if count else ())),
            )
        )
        self.width = results + count
        self.values = np.arange(results)
        places = [np.arange(*place) for place in zip(starts, starts[1:], strict=False)]
        self.old, self.new = places[: len(self.old)], places[len(self.old) :]
