"""An ONNX file as a source: its own nodes, run by onnxruntime or onnx's reference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto
from onnx.checker import ValidationError
from onnx.external_data_helper import (
    ExternalDataInfo,
    load_external_data_for_model,
    uses_external_data,
)

from sparsectl.common.errors import UserError
from sparsectl.export.source.branches import with_branches_taken
from sparsectl.export.source.cut import leading_to
from sparsectl.export.source.float64 import Float64Graph
from sparsectl.export.source.normaliser import normalised_value
from sparsectl.export.source.onnx_layout import Feeds, Input, Layout, layout_of
from sparsectl.export.source.runners import RUNNERS, Execute, OnnxRuntime, Runner, reason
from sparsectl.export.source.source import Normaliser
from sparsectl.export.source.thresholds import MAX_MARGINS, flat, thresholds
from sparsectl.export.source.unfused import unfused
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.onnx_file.chosen import with_choice
from sparsectl.policy.onnx_file.output import choose_output
from sparsectl.policy.onnx_file.prepared import prepared
from sparsectl.policy.onnx_file.tensors import short
from sparsectl.policy.onnx_file.ticks import tick_of

BATCH_VALUES = 1_000_000
"""Values of the widest layer at a time: bounds the memory of a run."""
MOST_ROWS = 4096
CHECKED = 8
"""Observations on which a run of all together is compared with runs one by one."""
SAMPLES = 12
"""Number of samples of the rounding errors of float32."""
STEPPED_SAMPLES = 48
"""Number of samples where values are rounded to whole steps: each takes one or the other step by
chance."""
MOST_SAMPLED, MOST_SAMPLES = 4096, 256
"""Few observations get more samples, up to so many rows in all and so many samples each: a value
that is rounded to whole steps jumps in few samples, if it lies near a tie."""

Use = Callable[[list[Any], int], Float64]


class OnnxSource:
    """The path to one output of an ONNX file; see `export.source.source.Source`.

    Its nodes and numbers are the file's. Nodes that do not lead to the output are left out, and
    tensors that are kept in other files are taken in.
    """

    def __init__(
        self,
        path: Path,
        output: str | None,
        sizes: tuple[int, int],
        data: bytes | None = None,
        argmax: bool = False,
    ) -> None:
        """sizes: of the observation and of the action, as the policy was read; data: the model,
        where it is not the file's bytes; argmax: as in `LoadOptions`.

        Raises:
            UserError: no such output; inputs or results of other sizes; nothing here can run it.
        """
        data = path.read_bytes() if data is None else data
        self.file = path.name
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._observation_size, self._action_size = sizes
        try:
            self._open(ModelProto.FromString(data), output, path.parent, argmax)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error

    def _open(self, given: ModelProto, output: str | None, folder: Path, argmax: bool) -> None:
        model = prepared(given)
        chosen = choose_output([o.name for o in model.graph.output], output)
        self.output: str | None = chosen
        tick = tick_of(model, chosen, output is not None)
        self._states = () if tick is None else tick.states
        path, result = with_choice(model if tick is None else tick.model, chosen, argmax)
        self._results = [result, *(state.output for state in self._states)]
        self._model = leading_to(path, *self._results)
        self.data_sha256 = _hashes_of_data(self._model, folder)
        _load_data(self._model, folder)
        names = {tensor.name for tensor in self._model.graph.initializer}
        inputs = [value for value in self._model.graph.input if value.name not in names]
        read = {value.name for value in self._model.graph.input}
        held = {tensor.name for tensor in model.graph.initializer}
        self.unused_inputs = tuple(
            value.name for value in model.graph.input if value.name not in read | held
        )
        states = [
            Input(state.input, state.shape, np.dtype(np.float32), state.axis)
            for state in self._states
        ]
        size = sum(state.size for state in self._states)
        self._layout: Layout = layout_of(inputs, self._observation_size - size, states)
        self._plain = unfused(self._with_branches_taken())
        widths = [size for tensor in self._plain.graph.initializer for size in tensor.dims]
        widest = max([self._observation_size, self._action_size, *widths])
        self._step = int(np.clip(BATCH_VALUES // widest, 1, MOST_ROWS))
        self._runner = self._first_that_runs()
        self._together = self._layout.rows is None and self._agrees(self._runner.run, 1e-3)
        self._float64 = self._in_float64()
        if given.functions:
            self._check_functions(with_choice(given, chosen, argmax)[0], folder)

    @property
    def run_by(self) -> str:
        return self._runner.name

    @property
    def has_float64_numbers(self) -> bool:
        return self._float64 is not None and self._float64.has_float64_numbers

    def run(self, observations: Float32) -> Float32:
        actions = self._actions(self._runner.run, observations, together=self._together)
        actions[self._layout.too_large(observations)] = np.nan
        with np.errstate(over="ignore"):
            return actions.astype(np.float32)

    def exact(self, observations: Float32) -> Float64:
        if self._float64 is None:
            return self.run(np.asarray(observations, np.float32)).astype(np.float64)
        actions = self._actions(self._float64.run, observations, together=self._together64)
        actions[self._layout.too_large(observations)] = np.nan
        return actions

    def rounding(self, observations: Float32) -> Float64:
        noise = np.random.default_rng(0)
        exact = self.exact(observations)
        furthest = np.zeros(exact.shape)
        if self._float64 is None:  # a last node that hardly depends on the inputs rounds too
            furthest = 2.0**-22 * np.abs(exact)
        stepped = self._float64 is not None and self._float64.is_stepped
        least = STEPPED_SAMPLES if stepped else SAMPLES
        samples = max(least, MOST_SAMPLED // max(1, len(observations)))
        at_once = -(-min(samples, MOST_SAMPLES) // SAMPLES)
        copies = np.tile(observations, (at_once, 1))
        for _ in range(SAMPLES):
            if self._float64 is None:  # the inputs' rounding stands in for that of every node
                shaken = 1 + 2.0**-22 * noise.uniform(-1, 1, copies.shape)
                moved = self.exact((copies * shaken).astype(np.float32))
            else:
                execute = self._noisy(self._float64, noise)
                moved = self._actions(execute, copies, together=self._together64)
            with np.errstate(invalid="ignore"):
                each = np.abs(moved.reshape(at_once, *exact.shape) - exact)
                furthest = np.fmax(furthest, np.fmax.reduce(each))
        return 2 * furthest

    def margins(self, observations: Float32) -> Float64:
        def use(values: list[Any], rows: int) -> Float64:
            named = dict(zip(self._watched, values, strict=True))
            with np.errstate(all="ignore"):
                found = [t.margins([named[n] for n in t.values]) for t in self._thresholds]
            parts = [flat(each, rows) for each in found]
            return np.concatenate([np.empty((rows, 0)), *parts], axis=1)[:, self._places]

        if not self._thresholds:
            return np.empty((len(observations), 0))
        return self._each(self._watch, observations, self._watched, use, self._watch_together)

    @cached_property
    def thresholds(self) -> tuple[str, ...]:
        return tuple(self._margin_names[place] for place in self._places)

    @cached_property
    def unsought(self) -> frozenset[str]:
        starts = {threshold.name for threshold in self._thresholds if not threshold.is_sought}
        return frozenset(name for name in self.thresholds if name.rsplit("[", 1)[0] in starts)

    @cached_property
    def normaliser(self) -> Normaliser | None:
        if len(self._layout.inputs) != 1:
            return None
        name = normalised_value(self._plain, self._layout.inputs[0].name)
        if name is None:
            return None
        ends = np.zeros((2, self._observation_size), np.float32)
        ends[1] = 1
        found = self._each(
            self._watcher([name]), ends, [name], lambda v, rows: flat([v[0]], rows), False
        )
        if found.shape[1] != self._observation_size:
            return None
        slope = found[1] - found[0]
        if not (np.isfinite(found).all() and np.all(slope != 0)):
            return None
        return Normaliser(-found[0] / slope, np.abs(1 / slope))

    def _first_that_runs(self) -> Runner:
        reasons = []
        for name, make in RUNNERS.items():
            try:
                runner = make(self._model)
                self._actions(runner.run, self._zeros(1), together=False)
            except UserError:
                raise
            except Exception as error:  # runtimes raise what they like for a file they cannot run
                reasons.append(f"{name}: {reason(error)}")
            else:
                return runner
        raise UserError(f"nothing here can run it ({'; '.join(reasons)}); export it again")

    def _with_branches_taken(self) -> ModelProto:
        try:
            with np.errstate(all="ignore"):
                zeros = self._layout.feeds(self._zeros(self._layout.rows or 1))
                return with_branches_taken(self._model, zeros)
        except Exception:  # onnx's reference lacks what leads to a condition: it stays an If
            return self._model

    def _in_float64(self) -> Float64Graph | None:
        self._together64 = False
        try:
            graph = Float64Graph(self._plain)
            with np.errstate(all="ignore"):
                feeds = self._layout.feeds(self._zeros(self._layout.rows or 1))
                graph.note_types(self._plain, feeds)
            self._actions(graph.run, self._zeros(1), together=False)
        except Exception:  # operators that onnx's reference lacks: `exact` is onnxruntime then
            return None
        self._together64 = self._agrees(graph.run, 1e-9)
        return graph

    def _agrees(self, execute: Execute, tolerance: float) -> bool:
        """Return whether observations may be run together, which needs each to give the same as
        alone."""
        rows = self._some()
        try:
            alone = self._actions(execute, rows, together=False)
            together = self._actions(execute, rows, together=True)
        except Exception:  # it was made for one observation
            return False
        return _close(alone, together, tolerance)

    def _check_functions(self, given: ModelProto, folder: Path) -> None:
        """Refuse a file whose functions onnxruntime runs otherwise than as their nodes: a function
        with the name of an operator that it knows it takes for that operator."""
        model = leading_to(given, *self._results)
        _load_data(model, folder)
        try:
            execute = OnnxRuntime(model).run
            alone = self._actions(execute, self._some(), together=False)
        except Exception:  # it does not run the file, or keeps a state inside
            return
        if not _close(alone, self._actions(self._runner.run, self._some(), together=False), 1e-3):
            names = sorted({short(f"{f.domain}.{f.name}".strip(".")) for f in given.functions})
            raise UserError(
                f"onnxruntime gives other actions for the file as it is than for the nodes of its "
                f"own functions ({', '.join(names[:4])}); it takes a function that has the name of "
                "an operator for that operator: give it a name of its own and export again"
            )

    def _some(self) -> Float32:
        """Return a few observations at different scales."""
        some = np.random.default_rng(0).normal(size=(CHECKED, self._observation_size))
        some *= np.geomspace(1e-2, 1e2, CHECKED)[:, None]
        return some.astype(np.float32)

    def _zeros(self, rows: int) -> Float32:
        return np.zeros((rows, self._observation_size), np.float32)

    def _noisy(self, graph: Float64Graph, noise: np.random.Generator) -> Execute:
        return lambda feeds, names: graph.run(feeds, names, noise)

    @property
    def _watched(self) -> list[str]:
        return list(dict.fromkeys(name for t in self._thresholds for name in t.values))

    @cached_property
    def _thresholds(self) -> list[Any]:
        return thresholds(self._plain)

    @cached_property
    def _watch(self) -> Execute:
        return self._watcher(self._watched)

    def _watcher(self, names: list[str]) -> Execute:
        """Return what computes the values called `names` beside the output."""
        if self._float64 is not None:
            return self._float64.run
        return RUNNERS[self._runner.name](self._plain, names).run

    @property
    def _watch_together(self) -> bool:
        return self._together if self._float64 is None else self._together64

    @cached_property
    def _margin_names(self) -> list[str]:
        """Return a name for each margin, in the order of `margins`."""
        if not self._watched:
            return []
        zeros = self._layout.feeds(self._zeros(self._layout.rows or 1))
        values = dict(zip(self._watched, self._watch(zeros, self._watched), strict=True))
        names = []
        for threshold in self._thresholds:
            with np.errstate(all="ignore"):
                found = threshold.margins([values[name] for name in threshold.values])
            count = flat(found, self._layout.rows or 1).shape[1]
            names += [f"{threshold.name}[{i}]" for i in range(count)]
        return names

    @cached_property
    def _places(self) -> list[int]:
        count = len(self._margin_names)
        chosen = np.linspace(0, count - 1, min(count, MAX_MARGINS))
        return [int(place) for place in np.unique(chosen.astype(int))]

    def _actions(self, execute: Execute, observations: Float32, *, together: bool) -> Float64:
        def use(values: list[Any], rows: int) -> Float64:
            states = zip(values[1:], self._states, strict=True)
            after = [_rows(value, state.axis, rows) for value, state in states]
            actions = np.asarray(values[0], np.float64)
            size = self._action_size - sum(each.shape[1] for each in after)
            if actions.size != rows * size:
                raise UserError(
                    f"output {self.output!r} gives {actions.size / rows:g} values for each "
                    f"observation, but the policy was read with {size}; export it in other nodes"
                )
            return np.concatenate([actions.reshape(rows, size), *after], axis=1)

        return self._each(execute, observations, self._results, use, together)

    def _each(
        self,
        execute: Execute,
        observations: Float32,
        names: list[str],
        use: Use,
        together: bool,
    ) -> Float64:
        """Return what `use` computes from the values called `names`, [count, any]."""
        step = self._step if together else self._layout.rows or 1
        parts = []
        for start in range(0, len(observations), step):
            rows = observations[start : start + step]
            count = len(rows)
            if not together and count < step:  # a fixed batch is filled with what was the last
                rows = np.concatenate([rows, np.repeat(rows[-1:], step - count, axis=0)])
            feeds: Feeds = self._layout.feeds(rows, together)
            with np.errstate(all="ignore"):
                parts.append(use(execute(feeds, names), len(rows))[:count])
        return np.concatenate(parts)


def _close(first: Float64, second: Float64, tolerance: float) -> bool:
    scale = np.max(np.abs(first[np.isfinite(first)]), initial=0.0)
    return bool(np.allclose(first, second, rtol=0, atol=tolerance * scale, equal_nan=True))


def _rows(value: Any, axis: int, rows: int) -> Float64:
    """Return a part of the state as [rows, values]."""
    array = np.asarray(value, np.float64)
    if array.ndim > axis and array.shape[axis] == rows:
        array = np.moveaxis(array, axis, 0)
    return array.reshape(rows, -1)


def _load_data(model: ModelProto, folder: Path) -> None:
    """Take tensors that are kept in other files into the model.

    Raises:
        UserError: onnx will not read such a file.
    """
    try:
        load_external_data_for_model(model, str(folder))
    except (ValidationError, OSError, ValueError) as error:
        raise UserError(
            f"the file with its weights cannot be read ({reason(error)}); copy it to the model's "
            "folder as a plain file, or export the model with its weights inside (torch: "
            "external_data=False)"
        ) from error


def _hashes_of_data(model: ModelProto, folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file beside the model's own that contains tensors."""
    names = {
        ExternalDataInfo(tensor).location
        for tensor in model.graph.initializer
        if uses_external_data(tensor)
    }
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)
    }
