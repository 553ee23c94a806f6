"""The acting network of a Stable-Baselines3 zip, read without unpickling.

What is in the zip comes from `sb3_zip`; of the objects in its JSON only the plain fields beside
their pickles are looked at, and the bytes of the actions' bounds (`sb3_bounds`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.policy.actor_network import ActorNetwork
from sparsectl.policy.choices import Choices
from sparsectl.policy.sb3_actors import actor_of, entries, layers_of, lstm_of
from sparsectl.policy.sb3_bounds import stated_bound
from sparsectl.policy.sb3_zip import read_members
from sparsectl.policy.state_dict import MEND, Array, read_saved, tensors_of

ACTIVATION_CLASS = re.compile(r"<class 'torch\.nn\.modules\.(?:activation|linear)\.(\w+)'>")

ACTIVATION_NAMES = {
    "CELU": "elu",  # with alpha 1 they are the same
    "ELU": "elu",
    "GELU": "gelu",
    "Hardsigmoid": "hardsigmoid",
    "Hardswish": "hardswish",
    "Hardtanh": "hardtanh",
    "Identity": "identity",
    "LeakyReLU": "leaky_relu",
    "LogSigmoid": "logsigmoid",
    "Mish": "mish",
    "ReLU": "relu",
    "ReLU6": "relu6",
    "SELU": "selu",
    "Sigmoid": "sigmoid",
    "SiLU": "silu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
    "Tanhshrink": "tanhshrink",
}
"""Names of torch's classes, with their default parameters."""

EXTRACTORS = ("FlattenExtractor", "CombinedExtractor")
"""Feature extractors of Stable-Baselines3 that only flatten, if the observation is no image."""

LIBRARIES = ("stable_baselines3", "sb3_contrib")

SPACES = {
    "observations": (
        *("box.Box'>", "dict.Dict'>", ".discrete.Discrete'>", ".multi_binary.MultiBinary'>"),
        ".multi_discrete.MultiDiscrete'>",
    ),
    "actions": ("box.Box'>", ".discrete.Discrete'>"),
}
"""Endings of the names of the classes that are read."""

LOGITS_MODULE = "Sequential(model.policy.mlp_extractor.policy_net, model.policy.action_net)"
"""Distributions are left out: torch's new exporter cannot trace them."""

AFTER_LSTM = (
    " after model.policy.lstm_actor, whose state h_in and c_in are inputs of the module and h_out "
    "and c_out outputs"
)
"""What comes before these layers in RecurrentPPO."""

SEVERAL = {
    "MultiDiscrete": "the argmax of each group, such as torch.stack([part.argmax(1) for part in "
    "logits.split(list(nvec), 1)], 1).float()",
    "MultiBinary": "(logits > 0).float()",
}
"""Actions of several choices at once, and how their network's logits become them."""


def read_sb3(
    path: Path,
    activation: str | None = None,
    action_low: Sequence[float] | None = None,
    action_high: Sequence[float] | None = None,
) -> ActorNetwork:
    """Read the deterministic actor of one of the algorithms that `sb3_actors.KNOWN` names.

    It acts as the library's own `predict(observation, deterministic=True)`.

    Args:
        path: the zip that `model.save` wrote.
        activation: of the hidden layers; by default what the zip says, else the algorithm's.
        action_low, action_high: bounds of the action; by default what the zip says.

    Raises:
        UserError: the zip is truncated, foreign or hostile, or its actor has other layers than
            linear ones and LSTM cells.
    """
    policy_bytes, data = read_members(path)
    _check_data(path, data)
    _warn_of_codes(path, entries(data, "observation_space"))
    state = tensors_of(path, read_saved(path, policy_bytes, "policy.pth"), "policy.pth")
    actor = actor_of(path, state, data)
    hidden = activation or _stated_activation(path, data) or actor.activation
    if hidden not in (known := sorted(set(ACTIVATION_NAMES.values()))):
        raise UserError(f"{path}: activation {hidden!r} is not among {', '.join(known)}")
    choices = None if actor.values is None else _choices(path, data, actor.values)
    layers = layers_of(path, state, actor, 0 if choices is None else choices.count)
    lstm = lstm_of(path, state, actor)
    size, inputs = layers.weights[-1].shape[0], layers.weights[0].shape[1]
    if lstm and lstm[-1].units != inputs:
        raise UserError(f"{path}: {lstm[-1].units} LSTM cells before {inputs} inputs; {MEND}")
    if choices is not None and choices.count != size:
        raise UserError(
            f"{path} has {size} outputs for {choices.count} choices; save the model again"
        )
    offset, scale = np.zeros(size, np.float32), np.ones(size, np.float32)
    low, high = np.full(size, -np.inf, np.float32), np.full(size, np.inf, np.float32)
    if choices is None:
        low = _bound(path, "low", action_low, data, size)
        high = _bound(path, "high", action_high, data, size)
        middle, half = np.float32(0.5) * (high + low), np.float32(0.5) * (high - low)
        if actor.squashed:
            offset, scale = middle, half
        if actor.clip_mean:  # tanh is monotonic: clipping before it is clipping its result
            reach = np.float32(np.tanh(actor.clip_mean)) * half
            low, high = middle - reach, middle + reach
    return ActorNetwork(
        layers.weights,
        layers.biases,
        hidden,
        actor.squashed,
        offset,
        scale,
        low,
        high,
        choices,
        lstm,
        layers.offset,
        layers.scale,
    )


def _choices(path: Path, data: dict[str, Any], values: str) -> Choices:
    """Return the choices of a Discrete space."""
    space = entries(data, "action_space")
    try:
        return Choices(int(str(space["start"])), int(str(space["n"])), values)
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: its action_space is not Discrete; save it again") from error


def _check_data(path: Path, data: dict[str, Any]) -> None:
    """Refuse what the parameters do not show: custom classes, images, masks of choices."""
    module = entries(data, "policy_class").get("__module__")
    if isinstance(module, str) and ".maskable." in module:
        raise UserError(
            f"{path} is of MaskablePPO, whose environment says in each step which choices there "
            "are; a policy here knows no such masks: export its logits to ONNX, and mask them in "
            "the firmware"
        )
    if isinstance(module, str) and module.partition(".")[0] not in LIBRARIES:
        raise UserError(
            f"{path} has a policy of a class of its own, in {module}, which may act in any way; "
            + MEND
        )
    extractor = entries(data, "policy_kwargs").get("features_extractor_class")
    if extractor is not None and not any(
        re.fullmatch(rf"<class 'stable_baselines3\.common\.torch_layers\.{name}'>", str(extractor))
        for name in EXTRACTORS
    ):
        raise UserError(
            f"{path} has the features extractor {extractor}, which is not known; {MEND}"
        )
    for part, space in (("observations", "observation_space"), ("actions", "action_space")):
        kind = entries(data, space).get(":type:")
        if isinstance(kind, str) and not kind.endswith(SPACES[part]):
            name = kind.rpartition(".")[2].strip("'>")
            if part == "actions" and name in SEVERAL:
                after = AFTER_LSTM if ".recurrent." in str(module) else ""
                raise UserError(
                    f"{path} has {name} actions, and only vectors of real numbers (Box) and one "
                    "choice among a few (Discrete) are read from a zip; export takes ONNX of a "
                    f"module that gives {SEVERAL[name]}, of the logits by {LOGITS_MODULE}{after}"
                )
            known = ", ".join(ending.rpartition(".")[2][:-2] for ending in SPACES[part])
            raise UserError(f"{path} has {name} {part}; {known} are read; {MEND}")
    seen = entries(data, "observation_space")
    shape = seen.get("_shape")
    if isinstance(shape, list) and len(shape) == 3 and "uint8" in str(seen.get("dtype")):
        raise UserError(
            f"{path} observes images of shape {shape}; convolutions are read from ONNX: "
            "torch.onnx.export of a module that divides the pixels by 255, as the library does, "
            "and calls the policy's features_extractor before its layers"
        )


def _warn_of_codes(path: Path, space: dict[str, Any]) -> None:
    """Say which of its observations the library writes as one-hot codes, before the network."""
    kind = re.search(r"\.(Multi)?Discrete'>$", str(space.get(":type:")))
    parts = re.findall(r"'([^']*)': (?:Multi)?Discrete\(", str(space.get("spaces")))
    if kind or parts:
        which = f"{', '.join(parts)} of its observation" if parts else "its observation"
        warn(
            f"{path}: it takes {which} as one-hot codes, a 1 among zeros for each whole number, "
            "as gymnasium.wrappers.FlattenObservation writes them"
        )


def _stated_activation(path: Path, data: dict[str, Any]) -> str | None:
    """Parse `activation_fn`, which the zip writes as text: `<class
    'torch.nn.modules.activation.ELU'>`.

    Raises:
        UserError: it is a class that is not known, or no class.
    """
    stated = entries(data, "policy_kwargs").get("activation_fn")
    if stated is None:
        return None
    match = ACTIVATION_CLASS.fullmatch(str(stated))
    if match is None or match.group(1) not in ACTIVATION_NAMES:
        known = ", ".join(ACTIVATION_NAMES)
        raise UserError(f"{path} has the activation {stated}, which is not among {known}; {MEND}")
    return ACTIVATION_NAMES[match.group(1)]


def _bound(
    path: Path, key: str, stated: Sequence[float] | None, data: dict[str, Any], size: int
) -> Array:
    if stated is None:
        stated = stated_bound(entries(data, "action_space"), key)
    values = np.asarray(stated if stated is not None else [], dtype=np.float32)
    if values.size == 1:
        values = np.full(size, values.item(), np.float32)
    if values.shape == (size,) and not np.isfinite(values).all():
        raise UserError(
            f"{path} has actions without bounds ({key} {values}); train it where they have some"
        )
    if values.shape != (size,):
        raise UserError(
            f"{path} does not say the bounds of its {size} actions; save the model again with "
            f"Stable-Baselines3, or {MEND}"
        )
    return values
