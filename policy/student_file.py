"""`student.safetensors`: the posterior, its signals and its history, read and written without
torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sparsectl.common.errors import UserError
from sparsectl.common.safetensors_file import write_safetensors
from sparsectl.policy.acting.networks import Mlp
from sparsectl.policy.activations import ACTIVATIONS, Float32
from sparsectl.policy.choices import choices_of
from sparsectl.policy.convolution import Convolution, described_convolution
from sparsectl.policy.layer import MAX_LAYERS
from sparsectl.policy.model_file import check_model_file
from sparsectl.policy.signals import parse_json_object, shown
from sparsectl.policy.signals_json import check_signals, normaliser
from sparsectl.policy.tasks import columns_of, heads_of, rows_of, signals_of_task, tasks_of

FORMAT, VERSION = "sparsectl.student", 1
BYTES_LIMIT = 256 * 2**20
LOG_ALPHA_LIMIT = 10.0
NO_NOISE: Final = -20.0
"""log sigma of a weight that has no noise."""
GRU = "gru"
"""The name in a student's activations that marks a recurrent layer."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class StudentLayer:
    """One layer's posterior: mean and log σ [out, in], bias [out]; mask [out, in] once fixed. Of a
    convolution they are those of one place, and `in` is its patch."""

    mean: Float32
    log_sigma: Float32
    bias: Float32
    mask: Mask | None = None
    convolution: Convolution | None = None

    @property
    def log_alpha(self) -> Float32:
        """log α = 2 log σ - 2 log|W|, clamped (Molchanov et al. 2017, section 4.2)."""
        return log_alpha(self.mean, self.log_sigma)

    def kept(self, threshold: float) -> Mask:
        """Return which weights are kept: those of the mask or, without one, those whose log α is
        below the threshold."""
        return self.log_alpha < threshold if self.mask is None else self.mask

    def collapsed(self, threshold: float) -> Float32:
        """Return the weights without noise [out, in]: the mean where it is kept, 0 elsewhere."""
        return np.where(self.kept(threshold), self.mean, np.float32(0))


@dataclass(frozen=True)
class StudentFile:
    """The contents of a `student.safetensors`; `metadata` is its JSON."""

    layers: tuple[StudentLayer, ...]
    metadata: dict[str, Any]

    @property
    def threshold(self) -> float:
        """The log α from which on a weight is cut, where a layer has no mask."""
        return float(self.metadata["log_alpha_threshold"])

    @property
    def kept_weights(self) -> int:
        """Number of weights that are kept; biases are not counted."""
        return sum(int(layer.kept(self.threshold).sum()) for layer in self.layers)

    def network(self) -> Mlp:
        """Return the deterministic masked mean, in physical units, as it acts on the host."""
        return Mlp(
            tuple(layer.collapsed(self.threshold) for layer in self.layers),
            tuple(layer.bias for layer in self.layers),
            tuple(self.metadata["activations"]),
            *normaliser(self.metadata["signals"]),
            convolution=self.layers[0].convolution,
            heads=heads_of(self.metadata["signals"]),
        )

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """Environment and signals of each task, where there are several."""
        return tasks_of(self.metadata)

    def of_task(self, number: int) -> StudentFile:
        """Return the student as it is in one of several tasks: the trunk and that task's head."""
        signals, task = self.metadata["signals"], self.tasks[number]
        layers = list(self.layers)
        columns = columns_of(signals, task["signals"], layers[0].mean.shape[1])
        layers[0] = _part(layers[0], slice(None), columns)
        if (convolution := layers[0].convolution) is not None:
            channels = int(task["signals"]["image"][2])
            layers[0] = replace(layers[0], convolution=replace(convolution, channels=channels))
        layers[-1] = _part(layers[-1], rows_of(signals, number), slice(None))
        metadata = {key: value for key, value in self.metadata.items() if key != "tasks"}
        metadata |= {"signals": signals_of_task(signals, task["signals"])}
        metadata |= {"environment": task.get("environment")}
        return StudentFile(tuple(layers), metadata)


def _part(layer: StudentLayer, rows: Any, columns: Any) -> StudentLayer:
    mask = None if layer.mask is None else layer.mask[rows][:, columns]
    mean, log_sigma = layer.mean[rows][:, columns], layer.log_sigma[rows][:, columns]
    return replace(layer, mean=mean, log_sigma=log_sigma, bias=layer.bias[rows], mask=mask)


def log_alpha(mean: Float32, log_sigma: Float32) -> Float32:
    """Return the log of noise variance over squared mean, clipped to [-10, 10]; it is 10 for a mean
    of 0."""
    with np.errstate(divide="ignore", over="ignore"):
        ratio = 2 * log_sigma - 2 * np.log(np.abs(mean))
    clipped: Float32 = np.clip(ratio, -LOG_ALPHA_LIMIT, LOG_ALPHA_LIMIT)
    return clipped


def write_student(path: Path, student: StudentFile) -> None:
    """Write the student atomically; the format and version go into the metadata here.

    Raises:
        UserError: the file cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for index, layer in enumerate(student.layers):
        arrays[f"layers.{index}.mean"] = np.ascontiguousarray(layer.mean, np.float32)
        arrays[f"layers.{index}.log_sigma"] = np.ascontiguousarray(layer.log_sigma, np.float32)
        arrays[f"layers.{index}.bias"] = np.ascontiguousarray(layer.bias, np.float32)
        if layer.mask is not None:
            arrays[f"layers.{index}.mask"] = np.ascontiguousarray(layer.mask, np.uint8)
    metadata = {"format": FORMAT, "version": VERSION, **student.metadata}
    if (convolution := student.layers[0].convolution) is not None:
        metadata["convolution"] = convolution.described()
    header = {"sparsectl": json.dumps(metadata, allow_nan=False)}
    write_safetensors(path, save_file, arrays, header)


def read_student_file(path: Path, bytes_limit: int = BYTES_LIMIT) -> StudentFile:
    """Read a student whose layers are not recurrent.

    Raises:
        UserError: the file is missing, larger than the limit, truncated, foreign, of another
            version, inconsistent, or has recurrent layers.
    """
    with open_student(path, bytes_limit) as (tensors, metadata):
        names = metadata["activations"]
        if GRU in names:
            raise UserError("it has recurrent layers; export it and give the policy's folder")
        check_signals(metadata.get("signals"), "signals")
        layers = tuple(read_layer(tensors, index) for index in range(len(names)))
        convolution = described_convolution(metadata)
        if convolution is not None:
            layers = (replace(layers[0], convolution=convolution), *layers[1:])
        _check_chain(layers, metadata)
        return StudentFile(layers, metadata)


@contextmanager
def open_student(
    path: Path, bytes_limit: int = BYTES_LIMIT
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Open a student's file and yield its tensors and its metadata, of which format, version,
    activations and threshold are checked.

    Raises:
        UserError: the file is missing, larger than the limit, truncated, foreign, or of another
            version. What is raised within names the file too.
    """
    check_model_file(path, bytes_limit)
    try:
        with safe_open(path, framework="np") as tensors:
            yield tensors, _metadata(tensors.metadata())
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a student ({error}); give a whole student.safetensors as `sparsectl "
            "distill` writes it"
        ) from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _metadata(header: dict[str, str] | None) -> dict[str, Any]:
    text = (header or {}).get("sparsectl")
    if text is None:
        raise UserError(
            "it holds tensors but no sparsectl metadata; give a student.safetensors as "
            "`sparsectl distill` writes it, or export the model to ONNX"
        )
    metadata = parse_json_object(text, "its sparsectl metadata")
    if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
        found = f"{shown(metadata.get('format'))} version {shown(metadata.get('version'))}"
        raise UserError(f"it is {found}; this sparsectl reads {FORMAT!r} version {VERSION}")
    names = metadata.get("activations")
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_LAYERS:
        raise UserError(f"activations is not a list of 1 to {MAX_LAYERS}; distil it again")
    for name in names:
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise UserError(
                f"activation {shown(name)} is not known; use one of {', '.join(ACTIVATIONS)}"
            )
    threshold = metadata.get("log_alpha_threshold")
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
        raise UserError(
            f"log_alpha_threshold is {shown(threshold)}; give a number (the paper has 2)"
        )
    return metadata


def read_layer(tensors: Any, index: int, part: str = "") -> StudentLayer:
    """Return the posterior of a layer, without its convolution.

    A file may leave out log sigma where it has a mask.

    Args:
        tensors: of `open_student`.
        index: of the layer.
        part: "recurrent_" for the weights and biases of a recurrent layer's state.

    Raises:
        UserError: a tensor is missing, of another type or shape, or not finite.
    """
    name = f"layers.{index}.{part}"
    mean, bias = (_tensor(tensors, name + kind, "F32") for kind in ("mean", "bias"))
    for kind, values in (("mean", mean), ("bias", bias)):
        if not np.isfinite(values).all():
            raise UserError(f"{name}{kind} has NaN or infinity; distil it again")
    has_mask = f"{name}mask" in tensors.keys()
    mask = _tensor(tensors, name + "mask", "U8", mean.shape) != 0 if has_mask else None
    if has_mask and f"{name}log_sigma" not in tensors.keys():
        log_sigma = np.full_like(mean, NO_NOISE)
    else:
        log_sigma = _tensor(tensors, name + "log_sigma", "F32", mean.shape)
    if mean.ndim != 2 or bias.shape != mean.shape[:1]:
        raise UserError(
            f"the shapes of layer {index} do not fit together: {name}mean is {list(mean.shape)}, "
            f"{name}bias is {list(bias.shape)}; distil it again"
        )
    if np.isnan(log_sigma).any():
        raise UserError(f"{name}log_sigma has NaN; distil it again")
    return StudentLayer(mean, log_sigma, bias, mask)


def _tensor(
    tensors: Any, name: str, dtype: str, shape: tuple[int, ...] | None = None
) -> NDArray[Any]:
    if name not in tensors.keys():
        raise UserError(f"it has no tensor {name}; distil it again")
    found = tensors.get_slice(name).get_dtype()
    if found != dtype:
        raise UserError(f"{name} is {found}, not {dtype}; distil it again")
    array: NDArray[Any] = tensors.get_tensor(name)
    if shape is not None and array.shape != shape:
        raise UserError(
            f"{name} is {list(array.shape)} and its mean {list(shape)}; distil it again"
        )
    return array


def read_reset_state(tensors: Any, index: int) -> Float32 | None:
    """Return the state that a recurrent layer starts from; None: zeros.

    Raises:
        UserError: it is not float32.
    """
    name = f"layers.{index}.reset_state"
    return _tensor(tensors, name, "F32") if name in tensors.keys() else None


def _check_chain(layers: tuple[StudentLayer, ...], metadata: dict[str, Any]) -> None:
    signals = metadata["signals"]
    offset, _, action_offset, *_ = normaliser(signals)
    sizes = [offset.size, *(layer.mean.shape[0] for layer in layers)]
    inputs = [layer.mean.shape[1] for layer in layers]
    if (convolution := layers[0].convolution) is not None:
        inputs[0] = convolution.inputs if inputs[0] == convolution.patch_size else -1
        sizes[1] *= convolution.count
    outputs = action_offset.size
    if metadata["activations"][-1] == "argmax":
        choices = choices_of(signals)
        outputs = outputs if choices is None else choices.count
        if heads := heads_of(signals):
            outputs = sum(heads)
            _check_tasks(metadata)
    if inputs != sizes[:-1] or sizes[-1] != outputs:
        raise UserError(
            f"layers of {inputs} inputs do not chain from {offset.size} observations to "
            f"{action_offset.size} actions"
        )


def _check_tasks(metadata: dict[str, Any]) -> None:
    signals = metadata["signals"]
    for number, task in enumerate(tasks_of(metadata)):
        check_signals(task["signals"], f"tasks[{number}].signals")
        columns_of(signals, task["signals"], len(signals["observation"]))
