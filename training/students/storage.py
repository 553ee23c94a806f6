"""`student.safetensors`: the posterior, its signals and its history, readable without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save_file

from sparsectl.common.errors import UserError
from sparsectl.policy.convolution import Convolution, described_convolution
from sparsectl.policy.student import log_alpha
from sparsectl.policy.tasks import columns_of, heads_of, rows_of, signals_of_task, tasks_of
from sparsectl.training.environments.signals import check_signals, choices_of, normaliser
from sparsectl.training.nn.networks import ACTIVATIONS, Array, Mlp
from sparsectl.training.nn.safetensors_file import write_safetensors

FORMAT = "sparsectl.student"
VERSION = 1
BYTES_LIMIT = 256 * 2**20


@dataclass(frozen=True)
class StudentLayer:
    """One layer's posterior: mean and log σ [out, in], bias [out]; mask [out, in] once fixed. Of a
    convolution they are those of one place, and `in` is its patch."""

    mean: Array
    log_sigma: Array
    bias: Array
    mask: np.ndarray[Any, np.dtype[np.bool_]] | None = None
    convolution: Convolution | None = None

    @property
    def log_alpha(self) -> Array:
        """log α = 2 log σ - 2 log|W|, clamped (Molchanov et al. 2017, section 4.2)."""
        return log_alpha(self.mean, self.log_sigma)

    def kept(self, threshold: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which weights are kept: the mask, or where there is none log α < threshold."""
        return self.log_alpha < threshold if self.mask is None else self.mask


@dataclass(frozen=True)
class StudentFile:
    """What `student.safetensors` holds; `metadata` is its JSON."""

    layers: tuple[StudentLayer, ...]
    metadata: dict[str, Any]

    @property
    def threshold(self) -> float:
        return float(self.metadata["log_alpha_threshold"])

    @property
    def kept_weights(self) -> int:
        return sum(int(layer.kept(self.threshold).sum()) for layer in self.layers)

    def network(self) -> Mlp:
        """The deterministic masked mean, in physical units."""
        weights = tuple(
            np.where(layer.kept(self.threshold), layer.mean, np.float32(0)) for layer in self.layers
        )
        return Mlp(
            weights,
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
        """The student as it is in one of several tasks: the trunk and that task's head."""
        signals, task = self.metadata["signals"], self.tasks[number]
        layers = list(self.layers)
        columns = columns_of(signals, task["signals"], layers[0].mean.shape[1])
        layers[0] = _taken(layers[0], slice(None), columns)
        if (convolution := layers[0].convolution) is not None:
            channels = int(task["signals"]["image"][2])
            layers[0] = replace(layers[0], convolution=replace(convolution, channels=channels))
        layers[-1] = _taken(layers[-1], rows_of(signals, number), slice(None))
        metadata = {key: value for key, value in self.metadata.items() if key != "tasks"}
        metadata |= {"signals": signals_of_task(signals, task["signals"])}
        metadata |= {"environment": task.get("environment")}
        return StudentFile(tuple(layers), metadata)


def _taken(layer: StudentLayer, rows: Any, columns: Any) -> StudentLayer:
    mask = None if layer.mask is None else layer.mask[rows][:, columns]
    mean, log_sigma = layer.mean[rows][:, columns], layer.log_sigma[rows][:, columns]
    return replace(layer, mean=mean, log_sigma=log_sigma, bias=layer.bias[rows], mask=mask)


def write_student(path: Path, student: StudentFile) -> None:
    """Write the student atomically; the format and version go into the metadata here."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
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


def read_student(path: Path) -> StudentFile:
    """Read a student.

    Raises:
        UserError: the file is missing, truncated, foreign, of another version, or inconsistent.
    """
    try:
        if path.stat().st_size > BYTES_LIMIT:
            raise UserError(f"{path} is over {BYTES_LIMIT} bytes, too many for a student")
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = _metadata(path, file.metadata())
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        raise UserError(f"{path} is not a student ({error}); distil it again") from error
    layers = tuple(_layer(path, arrays, index) for index in range(len(metadata["activations"])))
    try:
        convolution = described_convolution(metadata)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if convolution is not None and layers:
        layers = (replace(layers[0], convolution=convolution), *layers[1:])
    _check_chain(path, layers, metadata)
    return StudentFile(layers, metadata)


def _metadata(path: Path, header: dict[str, str] | None) -> dict[str, Any]:
    try:
        metadata = json.loads((header or {}).get("sparsectl", "null"))
    except ValueError as error:
        raise UserError(f"{path}: its metadata is not JSON; distil it again") from error
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise UserError(f"{path} is not a {FORMAT} file; make one with `sparsectl distill`")
    if metadata.get("version") != VERSION:
        raise UserError(
            f"{path} has version {metadata.get('version')}; this program reads {VERSION}"
        )
    activations = metadata.get("activations")
    if not isinstance(activations, list) or not set(activations) <= set(ACTIVATIONS):
        raise UserError(f"{path}: activations {activations} are not among {sorted(ACTIVATIONS)}")
    if not isinstance(metadata.get("log_alpha_threshold"), (int, float)):
        raise UserError(f"{path}: log_alpha_threshold is missing; distil it again")
    check_signals(metadata.get("signals"), path)
    return metadata


def _layer(path: Path, arrays: dict[str, Any], index: int) -> StudentLayer:
    values: dict[str, Array] = {}
    for name in ("mean", "log_sigma", "bias"):
        array = arrays.get(f"layers.{index}.{name}")
        if array is None or array.dtype != np.float32:
            raise UserError(f"{path}: layers.{index}.{name} is missing or not float32")
        if not np.isfinite(array).all():
            raise UserError(f"{path}: layers.{index}.{name} has NaN or infinity; distil it again")
        values[name] = array
    mask = arrays.get(f"layers.{index}.mask")
    shapes = {values["mean"].shape, values["log_sigma"].shape}
    if mask is not None:
        shapes.add(mask.shape)
    if len(shapes) != 1 or values["bias"].shape != values["mean"].shape[:1]:
        raise UserError(f"{path}: the shapes of layer {index} do not fit together: {shapes}")
    parts = values["mean"], values["log_sigma"], values["bias"]
    return StudentLayer(*parts, mask=None if mask is None else mask.astype(bool))


def _check_chain(path: Path, layers: tuple[StudentLayer, ...], metadata: dict[str, Any]) -> None:
    offset, _, action_offset, *_ = normaliser(metadata["signals"])
    sizes = [offset.size, *(layer.mean.shape[0] for layer in layers)]
    inputs = [layer.mean.shape[1] for layer in layers]
    if layers and (convolution := layers[0].convolution) is not None:
        inputs[0] = convolution.inputs if inputs[0] == convolution.patch_size else -1
        sizes[1] *= convolution.count
    choices = (
        choices_of(metadata["signals"]) if metadata["activations"][-1:] == ["argmax"] else None
    )
    outputs = action_offset.size if choices is None else choices.count
    if metadata["activations"][-1:] == ["argmax"] and (heads := heads_of(metadata["signals"])):
        outputs = sum(heads)
        _check_tasks(path, metadata)
    if not layers or inputs != sizes[:-1] or sizes[-1] != outputs:
        raise UserError(
            f"{path}: layers of {inputs} inputs do not chain from {offset.size} observations "
            f"to {action_offset.size} actions"
        )


def _check_tasks(path: Path, metadata: dict[str, Any]) -> None:
    try:
        for task in tasks_of(metadata):
            check_signals(task["signals"], path)
            signals = metadata["signals"]
            columns_of(signals, task["signals"], len(signals["observation"]))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
