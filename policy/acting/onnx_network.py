"""An ONNX graph of any kind acts through onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.networks import Array
from sparsectl.policy.choices import Choices, choices_of
from sparsectl.policy.model_file import check_model_file
from sparsectl.policy.onnx_file.output import choose_output, unclear, values_in
from sparsectl.policy.tasks import CHOICE, TASK

BYTES_LIMIT = 256 * 2**20
TRIED = 8
"""Observations on which a run of all together is compared with runs one by one."""
QUANTISED = ("Quantize", "Dequantize", "QLinear", "Integer")
"""Parts of the names of quantised operators. Of such files onnxruntime joins nodes into ones that
round the observation too, or that saturate on some processors; the nodes run as they stand."""


class OtherForm(UserError):
    """An ONNX graph whose inputs and outputs are others than float32 [batch, n] and [batch, m]."""


class OnnxNetwork:
    """An ONNX graph with one input [batch, n] and an output [batch, m], on one thread.

    Of several outputs it takes the one whose name says that it gives Q-values or logits, or else
    the actions. An output of whole numbers, [batch] or [batch, 1], is the index of a choice.

    A graph whose batch is fixed, as torch writes it if no axis is declared dynamic, is run with
    that many observations at a time; one that gives other actions for observations together than
    for each alone, such as one whose values are quantised by the range of all of them, one by one.

    Raises:
        UserError: the file is missing, too large, not ONNX, or has several outputs whose names do
            not say which are the actions; its action is drawn at random, or depends on the other
            observations of its batch.
        OtherForm: it has other inputs and outputs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_model_file(path, BYTES_LIMIT)
        self._session = _open_session(path)
        output = _chosen(_without_tasks(self._session), path)
        self.gives_index = _is_index(output)
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(value.name for value in inputs)
            raise OtherForm(f"{path} has {len(inputs)} inputs ({names}); a policy has exactly one")
        self._input, self.observation_size = _vector(inputs[0], "input", path)
        rows = inputs[0].shape[0]
        if self.observation_size == 1 and isinstance(rows, int) and rows > 1:
            raise OtherForm(f"{path}: its input may be a column or {rows} observations")
        if self.gives_index:
            self._output, self.action_size = output.name, 1
        else:
            self._output, self.action_size = _vector(output, "output", path)
        batch = self._session.get_inputs()[0].shape[0]
        self._batch: int | None = batch if isinstance(batch, int) and batch > 0 else None
        if self._batch is None and not self._is_alike_together():
            self._batch = 1
        self._check_actions()

    def __call__(self, observations: Array) -> Array:
        """Return actions [B, m] for observations [B, n]."""
        if self._batch is None or self._batch == len(observations):
            return self._run(observations)
        groups = range(0, len(observations), self._batch)
        filled = np.resize(observations, (len(groups) * self._batch, self.observation_size))
        actions = [self._run(filled[first : first + self._batch]) for first in groups]
        return np.concatenate(actions)[: len(observations)]

    def _is_alike_together(self) -> bool:
        """Return whether observations have the same actions together as each alone, in some that
        differ by their scale."""
        some = np.random.default_rng(0).normal(size=(TRIED, self.observation_size))
        rows = (some * np.geomspace(1e-2, 1e2, TRIED)[:, None]).astype(np.float32)
        try:
            alone = np.concatenate([self._run(row[None]) for row in rows])
            together = self._run(rows)
        except Exception:  # it is not for several, or for none of these
            return False
        scale = np.max(np.abs(alone[np.isfinite(alone)]), initial=0.0)
        if alone.shape != together.shape:
            return False
        return bool(np.allclose(alone, together, rtol=0, atol=1e-3 * scale, equal_nan=True))

    def _check_actions(self) -> None:
        """Refuse a file whose action does not follow from the observation alone."""
        if _draws(self.path, self._output):
            raise UserError(
                f"{self.path}: output {self._output!r} is drawn at random, so that neither labels "
                "nor returns could be repeated; export the mean or the most likely action"
            )
        if self._batch is None or self._batch == 1:
            return
        some = np.random.default_rng(0).normal(size=(self._batch, self.observation_size))
        rows = some.astype(np.float32)
        others = np.concatenate([rows[:1], -2 * rows[1:]])
        try:
            first, second = self._run(rows)[0], self._run(others)[0]
        except Exception:  # what it does not run is told where it is used
            return
        scale = np.max(np.abs(first[np.isfinite(first)]), initial=0.0)
        if not np.allclose(first, second, rtol=0, atol=1e-3 * scale, equal_nan=True):
            raise UserError(
                f"{self.path} takes {self._batch} observations at a time, and its action for one "
                "depends on the others; export it with a batch of 1"
            )

    def _run(self, observations: Array) -> Array:
        given: Any = self._session.run([self._output], {self._input: observations})[0]
        actions: Array = given.reshape(-1, 1).astype(np.float32) if self.gives_index else given
        return actions

    def __reduce__(self) -> tuple[type[OnnxNetwork], tuple[Path]]:
        return OnnxNetwork, (self.path,)  # a worker process gets the path

    @property
    def values(self) -> str | None:
        """Return the name of the output with a value for each of a few choices, `q_values` or
        `logits`; None: the file gives the action."""
        return values_in(self._output)

    @property
    def metadata(self) -> dict[str, str]:
        """The graph's metadata_props."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def choices(self, signals: dict[str, Any] | None) -> Choices | None:
        """Return the choices that it takes one of, according to these signals or, without them, to
        the type and name of its output; None: the action is a vector of real numbers.

        Raises:
            UserError: the signals name another number of choices.
        """
        described = choices_of(signals)
        if described is None and signals is not None and "action" in signals:
            return None  # real numbers, whatever the output is called
        if self.values is not None and self.action_size > 1:
            if described is not None and described.count != self.action_size:
                raise UserError(
                    f"{self.path} gives {self.action_size} {self.values}, but its signals have "
                    f"{described.count} choices; export it again"
                )
            first, levels = (described.first, described.levels) if described else (0, ())
            return Choices(first, self.action_size, self.values, levels)
        return described or (Choices(0, 0) if self.gives_index else None)

    def sizes(self) -> tuple[int, int]:
        """Return the number of elements of the constants that its layers use, and how many of them
        are in matrices; those of a normaliser before the layers are in neither."""
        import onnx

        graph = onnx.load(self.path, load_external_data=False).graph
        sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
        sizes |= {
            sparse.values.name: int(np.prod(sparse.dims)) for sparse in graph.sparse_initializer
        }
        sizes |= {
            node.output[0]: int(np.prod(attribute.t.dims))
            for node in graph.node
            if node.op_type == "Constant"
            for attribute in node.attribute
            if attribute.HasField("t")
        }
        products = {
            output for node in graph.node if node.op_type == "MatMul" for output in node.output
        }
        layers = [node for node in graph.node if node.op_type in {"Gemm", "MatMul", "Conv"}]
        matrices = {name for node in layers for name in node.input[:2]}
        biases = {name for node in layers for name in node.input[2:]} | {
            name
            for node in graph.node
            if node.op_type == "Add" and products.intersection(node.input)
            for name in node.input
        }
        parameters = sum(sizes.get(name, 0) for name in matrices | biases)
        return parameters, sum(sizes.get(name, 0) for name in matrices)


def _without_tasks(session: Any) -> list[Any]:
    """Return the outputs; of a policy of several tasks that `export` wrote, the action alone."""
    outputs: list[Any] = session.get_outputs()
    asked = {value.name for value in session.get_overridable_initializers()}
    return [value for value in outputs if TASK not in asked or value.name != CHOICE]


def _open_session(path: Path) -> Any:
    import onnx
    import onnxruntime
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # the error below says it once, in one line
    try:
        nodes = onnx.load(path, load_external_data=False).graph.node
    except DecodeError:
        nodes = []  # onnxruntime says what is wrong with it
    if any(part in node.op_type for node in nodes for part in QUANTISED):
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NoSuchFile,
        errors.NotImplemented,
        errors.RuntimeException,
    ) as error:
        reason = str(error).splitlines()[0][:160]
        raise UserError(f"{path} is not an ONNX policy ({reason}); export it again") from error


def _is_index(value: Any) -> bool:
    whole = value.type in ("tensor(int64)", "tensor(int32)")
    return whole and (len(value.shape) == 1 or (len(value.shape) == 2 and value.shape[1] == 1))


def _chosen(outputs: list[Any], path: Path) -> Any:
    """Return the values of the choices, if one output has them; otherwise the actions."""
    if len(outputs) == 1:
        return outputs[0]
    try:
        name = choose_output([value.name for value in outputs])
    except UserError as error:
        names = ", ".join(value.name for value in outputs)
        raise UserError(
            f"{path} has {len(outputs)} outputs ({names}), "
            f"{unclear([value.name for value in outputs])}"
        ) from error
    chosen = next(value for value in outputs if value.name == name)
    valued = [value for value in outputs if values_in(value.name) and _width(value) != 1]
    takes_numbers = chosen.type == "tensor(float)" and _width(chosen) != 1
    return valued[0] if len(valued) == 1 and not takes_numbers else chosen


def _width(value: Any) -> Any:
    return value.shape[-1] if value.shape else 1


def _vector(value: Any, kind: str, path: Path) -> tuple[str, int]:
    if value.type != "tensor(float)" or len(value.shape) != 2 or type(value.shape[1]) is not int:
        raise OtherForm(
            f"{path}: {kind} {value.name} is {value.type} {value.shape}; "
            "a policy takes and gives float32 [batch, size] with a fixed size"
        )
    return value.name, value.shape[1]


RANDOM: Final = frozenset(
    "RandomNormal RandomNormalLike RandomUniform RandomUniformLike Multinomial Bernoulli".split()
)
"""Operators whose results are drawn anew at each run."""


def _draws(path: Path, output: str) -> bool:
    """Return whether a node that leads to an output draws numbers at random."""
    import onnx

    from sparsectl.policy.onnx_file.applied import leading_nodes
    from sparsectl.policy.onnx_file.functions import all_nodes, inlined

    try:
        graph = inlined(onnx.load(path, load_external_data=False)).graph
        nodes, _ = leading_nodes(graph, output)
    except UserError:  # the reader's limits are not those of onnxruntime, which runs the file
        return False
    return any(node.op_type in RANDOM for node in all_nodes(nodes))
