"""One tick of a recurrent ONNX file: the same nodes, with the state at both ends of the graph.

A state is an input that an output of the file gives anew (torch's `h0` and `hn`, or a cell written
as plain nodes), or it lies inside: an RNN, GRU or LSTM without a given initial state, whose first
one is then the state after a reset. Nodes and numbers stay as the file has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.policy.onnx_file.output import (
    ACTION_WORDS,
    OTHER_WORDS,
    STATE_WORDS,
    starts_episodes,
    stem_of,
    words_of,
)
from sparsectl.policy.onnx_file.tensors import short

CELLS: Final = {"RNN": (5,), "GRU": (5,), "LSTM": (5, 6)}
"""Recurrent operators, and which of their inputs are the state: outputs 1 and 2 give it anew."""
_ASSUMED: Final = (
    "the state of {cell} is kept from tick to tick, although the file takes one step a run and "
    "begins each run from its initial state; export the state as an input and an output, and the "
    "file says so"
)
_MASK: Final = (
    "its input {name} acts on the state of {state}, as a mask does that resets it where an episode "
    "starts; leave it away and export again, as the C resets the state by policy_reset()"
)
_FLAG: Final = (
    "its input {name} has the name of a mask that resets the state where an episode starts; leave "
    "it away, as the C has policy_reset() for that, or if it is none, give it another name"
)
SHAPES: Final = frozenset({"Shape", "Size"})
"""Operators that look at the form of a value and not at its numbers."""
_FLOATS: Final = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
Slot = tuple[str, int]
"""A cell, by the name of its first output, and which of its inputs."""


@dataclass(frozen=True)
class Carried:
    """A part of the state."""

    input: str
    output: str
    shape: tuple[int, ...]
    """Shape for one observation."""
    axis: int
    """Index of the dimension at which a batch has its observations."""
    reset: str | None = None
    """The value of the file that it is after a reset; None: zeros."""

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class OnnxTick:
    """A file's model as one tick."""

    model: ModelProto
    states: tuple[Carried, ...]


def tick_of(model: ModelProto, action: str, is_asked: bool = False) -> OnnxTick | None:
    """Return the tick of a file whose output `action` is the actions; None: it keeps no state.

    is_asked: whether the output was asked for by its name; others are then taken for a state only
        where that is sure.

    Raises:
        UserError: a state that no output updates, or that cannot be distinguished from another; a
            sequence of several steps.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    return _Finder(copy, action, is_asked).tick()


class _Finder:
    def __init__(self, model: ModelProto, action: str, is_asked: bool) -> None:
        self.model, self.graph = model, model.graph
        self.action, self.is_asked = action, is_asked
        self.makers = {name: node for node in self.graph.node for name in node.output if name}
        held = {tensor.name for tensor in self.graph.initializer}
        held |= {tensor.values.name for tensor in self.graph.sparse_initializer}
        self.inputs = {v.name: v for v in self.graph.input if v.name not in held}
        self.outputs = {v.name: v for v in self.graph.output}

    def tick(self) -> OnnxTick | None:
        pairs = self._needed(self._pairs())
        states = [_carried(self.inputs[given], made) for given, made in pairs.items()]
        reached = self._reached([self.action, *pairs.values()])
        takes_sequences, assumed = False, list[str]()
        for node in [node for node in self.graph.node if node.op_type in CELLS]:
            if node.output and reached & set(filter(None, node.output)):
                takes_sequences |= self._fix_steps(node)
                inside = self._inside(node, pairs)
                assumed += [short(node.name or node.output[0])] * bool(inside)
                states += inside
                reached = self._reached([self.action, *(state.output for state in states)])
        if assumed and not takes_sequences:
            warn(_ASSUMED.format(cell=assumed[0]))
        return OnnxTick(self.model, tuple(states)) if states else None

    def _pairs(self) -> dict[str, str]:
        """Map each input that is a state to the output that gives its next value."""
        if len(self.inputs) < 2:
            return {}
        slots = self._slots_of_inputs()
        found: dict[str, str] = {}
        for name in self.inputs:
            made = self._next_of(name, slots.get(name, frozenset()))
            if made is not None:
                found[name] = made
        twice = {made for made in found.values() if list(found.values()).count(made) > 1}
        if twice:
            shown = ", ".join(short(name) for name, made in found.items() if made in twice)
            raise UserError(
                f"the inputs {shown} are states of one shape, and names do not say which output is "
                "the next of which; give each pair a name such as h_in and h_out"
            )
        for name in self.inputs.keys() - found.keys():
            is_one = math.prod(size or 1 for size in _sizes(self.inputs[name])) == 1
            if found and is_one and starts_episodes(name):
                raise UserError(_FLAG.format(name=short(name)))
            self._refuse_doubtful(name, set(found.values()))
        return found

    def _needed(self, pairs: dict[str, str]) -> dict[str, str]:
        """Return the states on which the action depends, now or later; Godot RL Agents writes one
        that the network only hands on."""
        reached, needed = self._reached([self.action]), dict[str, str]()
        while fresh := {g: m for g, m in pairs.items() if g in reached and g not in needed}:
            needed |= fresh
            reached = self._reached([*reached, *fresh.values()])
        return {given: made for given, made in pairs.items() if given in needed}

    def _next_of(self, name: str, slots: frozenset[Slot]) -> str | None:
        """Return the output that surely gives the next value of an input; None: there is none."""
        alike = self._as_large_as(name)
        if slots:
            behind = [made for made in alike if self._slots_behind(made) == slots]
            made = self._one_of(name, behind or alike)
            if made is None and self._is_mask(name, slots):
                raise UserError(_MASK.format(name=short(name), state=short(sorted(slots)[0][0])))
            if made is None:
                raise UserError(
                    f"its input {short(name)} is the state of {short(sorted(slots)[0][0])}, and no "
                    "output of its shape gives the next one; return the hidden state beside the "
                    "actions and export again"
                )
            return made
        if any(_is_a_plants(name, made) for made in alike):
            return None  # asked about, as the plant's own state has such names too
        own = bool(STATE_WORDS & words_of(name))
        alike = [made for made in alike if own or STATE_WORDS & words_of(made)]
        sure = [made for made in alike if stem_of(made) == stem_of(name)]
        both = [made for made in alike if own and STATE_WORDS & words_of(made)]
        return self._one_of(name, sure or both)

    def _is_mask(self, name: str, slots: frozenset[Slot]) -> bool:
        """Return whether an input that leads to cells' states is not itself a state: another input
        leads there too, and an output has the size of that other one alone."""
        return not self._as_large_as(name) and any(
            other != name and slots & others and self._as_large_as(other)
            for other, others in self._slots_of_inputs().items()
        )

    def _refuse_doubtful(self, name: str, taken: set[str]) -> None:
        """Refuse what may be a state or not, unless the actions were asked for by name."""
        if self.is_asked:
            return
        for made in self._as_large_as(name):
            if made in taken:
                continue
            words = words_of(made)
            if STATE_WORDS & (words_of(name) | words):
                why = "one of their names says that it is a state"
            elif name in self._numbers_behind(made) and not words & (OTHER_WORDS | ACTION_WORDS):
                why = "follows from it, as the next state of a cell does"
            else:
                continue
            raise UserError(
                f"its output {short(made)} is as large as its input {short(name)}, and {why}; "
                "if it is a state, give both names that say so, such as h_in and h_out, and if "
                f"not, others (export alone takes --output {self.action[:40]} for that)"
            )

    def _as_large_as(self, name: str) -> list[str]:
        """Return the outputs, except the actions and constants such as ML-Agents' memory_size, that
        have an input's shape."""
        sizes = _sizes(self.inputs[name])
        return [
            made
            for made, value in self.outputs.items()
            if made not in (self.action, name)
            and _agree(sizes, _sizes(value))
            and self._numbers_behind(made)
        ]

    def _one_of(self, name: str, candidates: list[str]) -> str | None:
        named = [made for made in candidates if stem_of(made) == stem_of(name)]
        return next((each[0] for each in (named, candidates) if len(each) == 1), None)

    def _slots_of_inputs(self) -> dict[str, frozenset[Slot]]:
        """Return, for each input, the cells' initial states that it leads to."""
        found: dict[str, set[Slot]] = {}
        for node in self.graph.node:
            for place in CELLS.get(node.op_type, ()):
                if len(node.input) > place and node.input[place]:
                    for name in self._numbers_behind(node.input[place]):
                        found.setdefault(name, set()).add((node.output[0], place))
        return {name: frozenset(slots) for name, slots in found.items()}

    def _numbers_behind(self, name: str) -> set[str]:
        """Return the inputs that a value's numbers, not only its shape, depend on."""
        found, waiting, seen = set(), [name], {name}
        while waiting:
            value = waiting.pop()
            if value in self.inputs:
                found.add(value)
            node = self.makers.get(value)
            if node is not None and node.op_type not in SHAPES:
                fresh = set(filter(None, node.input)) - seen
                seen |= fresh
                waiting += fresh
        return found

    def _slots_behind(self, name: str) -> frozenset[Slot]:
        """Return the cells on whose state a value depends."""
        found, waiting, seen = set(), [name], {name}
        while waiting:
            value = waiting.pop()
            node = self.makers.get(value)
            if node is None or node.op_type in SHAPES:
                continue
            if node.op_type in CELLS:
                place = list(node.output).index(value)
                found.add((node.output[0], CELLS[node.op_type][max(place - 1, 0)]))
                continue
            fresh = set(filter(None, node.input)) - seen
            seen |= fresh
            waiting += fresh
        return frozenset(found)

    def _reached(self, names: Iterable[str]) -> set[str]:
        """Return every value that these depend on."""
        waiting, seen = list(names), set(names)
        while waiting:
            node = self.makers.get(waiting.pop())
            fresh = set(filter(None, node.input)) - seen if node is not None else set()
            seen |= fresh
            waiting += fresh
        return seen

    def _inside(self, node: NodeProto, pairs: dict[str, str]) -> list[Carried]:
        """Return the states of a cell that no input of the file gives."""
        label = short(node.name or node.output[0])
        units = next((a.i for a in node.attribute if a.name == "hidden_size"), 0)
        if units < 1 or any(
            a.name == "direction" and a.s not in (b"forward", b"") for a in node.attribute
        ):
            return []  # the reader says what is wrong with it
        found = []
        for index, place in enumerate(CELLS[node.op_type]):
            given = node.input[place] if len(node.input) > place else ""
            if given and self._numbers_behind(given):
                if not self._numbers_behind(given) <= pairs.keys():
                    raise UserError(
                        f"the initial state of {label} comes from the observation; give it as an "
                        "input of its own, or leave it away"
                    )
                continue
            name = f"{node.output[0]}.state{index}"
            made = self._output_of(node, 1 + index, f"{name}.next")
            while len(node.input) <= place:
                node.input.append("")
            node.input[place] = name
            shape = [1, "batch", units] if self._is_open else [1, 1, units]
            kind = TensorProto.FLOAT
            self.graph.input.append(helper.make_tensor_value_info(name, kind, shape))
            if made not in self.outputs:
                self.graph.output.append(helper.make_tensor_value_info(made, kind, None))
            found.append(Carried(name, made, (1, 1, units), 1, given or None))
        return found

    @property
    def _is_open(self) -> bool:
        """Return whether some input has a free dimension, for any number of observations."""
        return any(None in _sizes(value) for value in self.inputs.values())

    def _output_of(self, node: NodeProto, place: int, name: str) -> str:
        while len(node.output) <= place:
            node.output.append("")
        if not node.output[place]:
            node.output[place] = name
            self.makers[name] = node
        return str(node.output[place])

    def _fix_steps(self, node: NodeProto) -> bool:
        """Set the length of the cells' sequences to one step per tick, if the file leaves it open.

        Returns:
            bool: whether the file leaves the length open.

        Raises:
            UserError: the file takes several steps at once.
        """
        name, axis = node.input[0], 0
        while name not in self.inputs:
            maker = self.makers.get(name)
            if maker is None or not maker.input:
                return False
            if maker.op_type == "Transpose":
                perm = next((list(a.ints) for a in maker.attribute if a.name == "perm"), [])
                if axis >= len(perm):
                    return False
                axis = perm[axis]
            elif maker.op_type in CELLS:
                return False  # whose own sequence it is
            elif maker.op_type not in _SAME_FORM:
                return False
            name = next((n for n in maker.input if self._numbers_behind(n)), "")
        dims = self.inputs[name].type.tensor_type.shape.dim
        if axis >= len(dims):
            return False
        steps = dims[axis].dim_value if dims[axis].HasField("dim_value") else 0
        if steps > 1:
            raise UserError(
                f"its input {short(name)} takes {steps} steps of a sequence at once; export it for "
                "one step (a sequence of length 1), as the controller sees one a tick"
            )
        for place in (axis, *range(1, len(dims) - 1)):  # a batch that is not first is of one
            if not dims[place].HasField("dim_value") and len(dims) > 1:
                dims[place].Clear()
                dims[place].dim_value = 1
        return not steps


_SAME_FORM: Final = frozenset(
    "Identity Cast Relu Tanh Sigmoid Elu LeakyRelu Softplus Gelu Selu Clip Add Sub Mul Div MatMul "
    "Dropout LayerNormalization Neg Abs Sqrt".split()
)
"""Operators whose result's leading dimensions are their input's."""


def _is_a_plants(name: str, made: str) -> bool:
    """Return whether two names are those that a model of the world gives the plant's state, now and
    after the tick."""
    return words_of(name) == {"state"} and words_of(made) == {"next", "state"}


def _carried(value: ValueInfoProto, made: str) -> Carried:
    sizes, kind = _sizes(value), value.type.tensor_type.elem_type
    if kind not in _FLOATS:
        raise UserError(
            f"its state {short(value.name)} is {TensorProto.DataType.Name(kind).lower()}; a state "
            "is float, so export it as float32"
        )
    axis = 1 if len(sizes) == 3 and sizes[1] in (1, None) else 0
    shape = tuple(size or 1 for size in sizes)
    if len(sizes) < 1 or any(s is None for i, s in enumerate(sizes) if i != axis):
        raise UserError(
            f"its state {short(value.name)} does not say how many values it has; export it with "
            "its shape"
        )
    if len(sizes) > 1 and shape[axis] != 1:
        raise UserError(
            f"its state {short(value.name)} has the shape {list(shape)}, of several observations; "
            "export it for one"
        )
    return Carried(value.name, made, shape, axis)


def _sizes(value: ValueInfoProto) -> tuple[int | None, ...]:
    dims = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)


def _agree(first: Sequence[int | None], second: Sequence[int | None]) -> bool:
    """Return whether two declared shapes can be the same one; an undeclared size matches any."""
    if not second:
        return True
    pairs = list(zip(first, second, strict=False))
    return len(first) == len(second) and all(a == b or None in (a, b) for a, b in pairs)
