"""Read tensors that torch saved, without running code that a file may have in it."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError

Array = NDArray[np.float32]

POLICY_BYTES_LIMIT = 256 * 2**20
PARAMETERS_LIMIT = 2**26

MEND = "export the policy to ONNX and give that"

# What torch raises on bytes that are not, or only nearly, a state dict.
TORCH_ERRORS = (
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    AssertionError,
)


def read_saved(path: Path, content: bytes, name: str) -> Any:
    """Return what `torch.save` wrote, by torch's loader that takes only tensors and containers.

    Args:
        path: of the file, for messages.
        content: the bytes that were saved.
        name: of what they are, for messages.

    Raises:
        UserError: the bytes were not saved by torch, unpack to too much, or hold other objects.
        ModuleNotFoundError: torch is not installed.
    """
    import torch

    buffer = io.BytesIO(content)
    try:
        with zipfile.ZipFile(buffer) as inner:
            unpacked = sum(info.file_size for info in inner.infolist())
        if unpacked > POLICY_BYTES_LIMIT:
            raise UserError(f"{path}: {name} unpacks to {unpacked} bytes; that is too much")
        buffer.seek(0)
        return torch.load(buffer, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, *TORCH_ERRORS) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"{path}: {name} is not a torch state dict ({reason})") from error


def tensors_of(path: Path, saved: Any, name: str) -> dict[str, Any]:
    """Return the tensors of a state dict by name.

    Raises:
        UserError: what was saved is no dict.
    """
    import torch

    if not isinstance(saved, dict):
        raise UserError(f"{path}: {name} holds a {type(saved).__name__}, not a state dict")
    return {str(key): value for key, value in saved.items() if isinstance(value, torch.Tensor)}


def read_array(path: Path, state: dict[str, Any], key: str, dimensions: int) -> Array:
    """Return a finite tensor of a state dict.

    Raises:
        UserError: the tensor is missing, or is not a layer's weights or biases.
    """
    tensor = state.get(key)
    if tensor is None or tensor.dim() != dimensions:
        raise UserError(f"{path}: {key} is missing or has not {dimensions} dimensions")
    if not 0 < tensor.numel() <= PARAMETERS_LIMIT or not tensor.is_floating_point():
        raise UserError(f"{path}: {key} is {tuple(tensor.shape)} {tensor.dtype}, not a layer")
    try:
        array: Array = tensor.float().contiguous().numpy()
    except TORCH_ERRORS as error:
        raise UserError(f"{path}: {key} cannot be read ({error})") from error
    if not np.isfinite(array).all():
        raise UserError(f"{path}: {key} has NaN or infinity; the model has diverged")
    return array


def chain_of(path: Path, state: dict[str, Any], prefix: str) -> tuple[str, ...]:
    """Return the names of the linear layers of an nn.Sequential, which alternate with activations.

    Raises:
        UserError: they do not.
    """
    indices = indices_of(state, re.escape(prefix) + r"\.(\d+)")
    if indices != list(range(0, 2 * len(indices), 2)):
        raise UserError(
            f"{path}: {prefix} has layers at places {indices}, and so others between them than "
            f"activations; {MEND}"
        )
    return tuple(f"{prefix}.{index}" for index in indices)


def indices_of(state: dict[str, Any], pattern: str) -> list[int]:
    """Return the numbers in the names of weights that match a pattern with one group."""
    compiled = re.compile(pattern + r"\.weight")
    matches = (compiled.fullmatch(key) for key in state)
    return sorted(int(match.group(1)) for match in matches if match)


def read_layers(
    path: Path, state: dict[str, Any], names: tuple[str, ...]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return weights, [out, in] each, and biases, [out] each, of linear layers in order.

    Raises:
        UserError: one is missing, has not these dimensions or not finite values, or a layer does
            not take what the one before gives.
    """
    weights = tuple(read_array(path, state, f"{name}.weight", 2) for name in names)
    biases = tuple(read_array(path, state, f"{name}.bias", 1) for name in names)
    shapes = [weight.shape for weight in weights]
    chained = all(b[1] == a[0] for a, b in zip(shapes, shapes[1:], strict=False))
    if not chained or any(b.shape != w.shape[:1] for w, b in zip(weights, biases, strict=True)):
        raise UserError(f"{path}: layers of shapes {shapes} do not chain")
    return weights, biases
