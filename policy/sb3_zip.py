"""Read a Stable-Baselines3 zip without unpickling.

Its member `policy.pth` is a state dict, read by torch's weights-only loader from memory. Its member
`data` is JSON whose objects carry base64 pickles; the pickles are never decoded.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError

Array = NDArray[np.float32]

POLICY_BYTES_LIMIT = 256 * 2**20
DATA_BYTES_LIMIT = 16 * 2**20
PARAMETERS_LIMIT = 2**26

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


def read_members(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of `policy.pth` and the plain fields of `data`.

    Raises:
        UserError: the file is not a zip of a model, or a member is too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            policy = _member(path, archive, "policy.pth", POLICY_BYTES_LIMIT)
            data = json.loads(_member(path, archive, "data", DATA_BYTES_LIMIT))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path} is not a whole zip ({error}); save the model again") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: its member `data` is not JSON; save the model again") from error
    return policy, data if isinstance(data, dict) else {}


def _member(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    if name not in archive.namelist():
        raise UserError(f"{path} has no member `{name}`; it is not a Stable-Baselines3 model")
    size = archive.getinfo(name).file_size
    if size > limit:
        raise UserError(f"{path}: member `{name}` unpacks to {size} bytes; the limit is {limit}")
    return archive.read(name)


def read_state_dict(path: Path, content: bytes) -> dict[str, Any]:
    """Return the tensors of `policy.pth` by name.

    Raises:
        UserError: the bytes are not a state dict.
    """
    import torch

    buffer = io.BytesIO(content)
    try:
        with zipfile.ZipFile(buffer) as inner:
            unpacked = sum(info.file_size for info in inner.infolist())
        if unpacked > POLICY_BYTES_LIMIT:
            raise UserError(f"{path}: policy.pth unpacks to {unpacked} bytes; that is too much")
        buffer.seek(0)
        state = torch.load(buffer, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, *TORCH_ERRORS) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"{path}: policy.pth is not a torch state dict ({reason})") from error
    if not isinstance(state, dict):
        raise UserError(f"{path}: policy.pth holds a {type(state).__name__}, not a state dict")
    return {str(key): value for key, value in state.items() if isinstance(value, torch.Tensor)}


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
