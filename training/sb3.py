"""The acting network of a Stable-Baselines3 zip, read without unpickling.

A zip's member `policy.pth` is a state dict, read by torch's weights-only loader from memory. Its
member `data` is JSON whose objects carry base64 pickles; only the plain fields beside them
are looked at, and the pickles are never decoded.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.training.networks import ACTIVATIONS, Array, Mlp

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

# Prefixes of the actor's hidden layers and last layer, hidden activation, squash of the output.
LAYOUTS = {
    "SAC": (r"actor\.latent_pi\.(\d+)", r"actor\.mu", "relu", "tanh"),
    "TD3 or DDPG": (r"actor\.mu\.(\d+)", None, "relu", "tanh"),
    "PPO or A2C": (r"mlp_extractor\.policy_net\.(\d+)", r"action_net", "tanh", "identity"),
}


def read_sb3(
    path: Path,
    activation: str | None = None,
    action_low: Sequence[float] | None = None,
    action_high: Sequence[float] | None = None,
) -> Mlp:
    """Read the deterministic actor of SAC, TD3, DDPG, PPO or A2C.

    Args:
        path: the zip that `model.save` wrote.
        activation: of the hidden layers; by default what the zip says, else the algorithm's.
        action_low, action_high: bounds of the action; by default what the zip says.

    Raises:
        UserError: the zip is truncated, foreign, hostile, or has an actor that is no plain MLP.
    """
    policy_bytes, data = _members(path)
    state = _state_dict(path, policy_bytes)
    weights, biases, hidden, squash = _layers(path, state)
    hidden = activation or _stated_activation(data) or hidden
    if hidden not in ACTIVATIONS:
        raise UserError(f"{path}: activation {hidden!r} is not among {', '.join(ACTIVATIONS)}")
    size = weights[-1].shape[0]
    low = _bound(path, "low", action_low, data, size)
    high = _bound(path, "high", action_high, data, size)
    # SB3 squashes SAC, TD3 and DDPG to [-1, 1] and scales; PPO's and A2C's output is only clipped.
    scaled = squash == "tanh"
    return Mlp(
        weights,
        biases,
        (hidden,) * (len(weights) - 1) + (squash,),
        np.zeros(weights[0].shape[1], np.float32),
        np.ones(weights[0].shape[1], np.float32),
        np.float32(0.5) * (high + low) if scaled else np.zeros(size, np.float32),
        np.float32(0.5) * (high - low) if scaled else np.ones(size, np.float32),
        low,
        high,
    )


def _members(path: Path) -> tuple[bytes, dict[str, Any]]:
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


def _state_dict(path: Path, content: bytes) -> dict[str, Any]:
    import torch

    buffer = io.BytesIO(content)
    try:
        with zipfile.ZipFile(buffer) as inner:
            unpacked = sum(info.file_size for info in inner.infolist())
        if unpacked > POLICY_BYTES_LIMIT:
            raise UserError(f"{path}: policy.pth unpacks to {unpacked} bytes; that is no policy")
        buffer.seek(0)
        state = torch.load(buffer, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, *TORCH_ERRORS) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"{path}: policy.pth is not a torch state dict ({reason})") from error
    if not isinstance(state, dict):
        raise UserError(f"{path}: policy.pth holds a {type(state).__name__}, not a state dict")
    return {str(key): value for key, value in state.items() if isinstance(value, torch.Tensor)}


def _layers(
    path: Path, state: dict[str, Any]
) -> tuple[tuple[Array, ...], tuple[Array, ...], str, str]:
    for hidden_prefix, last_prefix, activation, squash in LAYOUTS.values():
        indices = _indices(state, hidden_prefix)
        if not indices:
            continue
        names = [hidden_prefix.replace(r"(\d+)", str(i)).replace("\\", "") for i in indices]
        names += [last_prefix.replace("\\", "")] if last_prefix else []
        _refuse_extras(path, state, names)
        weights = tuple(_array(path, state, f"{name}.weight", 2) for name in names)
        biases = tuple(_array(path, state, f"{name}.bias", 1) for name in names)
        _check_chain(path, weights, biases)
        return weights, biases, activation, squash
    raise UserError(
        f"{path} has no actor that is a plain MLP of {', '.join(LAYOUTS)}; "
        "export the policy to ONNX and give that"
    )


def _indices(state: dict[str, Any], prefix: str) -> list[int]:
    pattern = re.compile(prefix + r"\.weight")
    matches = (pattern.fullmatch(key) for key in state)
    return sorted(int(match.group(1)) for match in matches if match)


def _refuse_extras(path: Path, state: dict[str, Any], names: list[str]) -> None:
    known = {f"{name}.{part}" for name in names for part in ("weight", "bias")}
    acting = ("actor.features_extractor.", "features_extractor.", "pi_features_extractor.")
    extras = [key for key in state if key.startswith(acting)]
    extras += [
        key
        for key in state
        if key.startswith(("actor.latent_pi.", "actor.mu.", "mlp_extractor.policy_net."))
        and key not in known
    ]
    if extras:
        raise UserError(
            f"{path}: {extras[0]} is part of the actor and no plain layer; "
            "export the policy to ONNX and give that"
        )


def _array(path: Path, state: dict[str, Any], key: str, dimensions: int) -> Array:
    tensor = state.get(key)
    if tensor is None or tensor.dim() != dimensions:
        raise UserError(f"{path}: {key} is missing or has not {dimensions} dimensions")
    if not 0 < tensor.numel() <= PARAMETERS_LIMIT or not tensor.is_floating_point():
        raise UserError(f"{path}: {key} is {tuple(tensor.shape)} {tensor.dtype}; that is no layer")
    try:
        array: Array = tensor.float().contiguous().numpy()
    except TORCH_ERRORS as error:
        raise UserError(f"{path}: {key} cannot be read ({error})") from error
    if not np.isfinite(array).all():
        raise UserError(f"{path}: {key} has NaN or infinity; the model has diverged")
    return array


def _check_chain(path: Path, weights: tuple[Array, ...], biases: tuple[Array, ...]) -> None:
    shapes = [weight.shape for weight in weights]
    chained = all(b[1] == a[0] for a, b in zip(shapes, shapes[1:], strict=False))
    if not chained or any(b.shape != w.shape[:1] for w, b in zip(weights, biases, strict=True)):
        raise UserError(f"{path}: layers of shapes {shapes} do not chain")


def _stated_activation(data: dict[str, Any]) -> str | None:
    """The zip writes `activation_fn` as text, `<class 'torch.nn.modules.activation.ELU'>`."""
    arguments = data.get("policy_kwargs")
    text = str(arguments.get("activation_fn", "")) if isinstance(arguments, dict) else ""
    match = re.search(r"(\w+)'>$", text)
    names = {"ReLU": "relu", "Tanh": "tanh", "ELU": "elu", "LeakyReLU": "leaky_relu"}
    names |= {"SiLU": "silu", "Sigmoid": "sigmoid"}
    return names.get(match.group(1), match.group(1)) if match else None


def _bound(
    path: Path, key: str, stated: Sequence[float] | None, data: dict[str, Any], size: int
) -> Array:
    if stated is None:
        stated = _stated_bound(data, key)
    values = np.asarray(stated if stated is not None else [], dtype=np.float32)
    if values.size == 1:
        values = np.full(size, values.item(), np.float32)
    if values.shape != (size,) or not np.isfinite(values).all():
        raise UserError(f"{path} does not say its {size} action bounds; give action_{key}")
    return values


def _stated_bound(data: dict[str, Any], key: str) -> list[float] | None:
    """The zip writes a Box's bounds as numpy prints them, `[-1. -1.]`; long ones are shortened."""
    space = data.get("action_space")
    text = space.get(key) if isinstance(space, dict) else None
    if not isinstance(text, str):
        return None
    try:
        return [float(number) for number in text.strip("[] ").split()]
    except ValueError:
        return None
