"""The acting network of a Stable-Baselines3 zip, read without unpickling.

What is in the zip comes from `sb3_zip`; of the objects in its JSON only the plain fields beside
their pickles are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.actor_network import ActorNetwork
from sparsectl.policy.choices import Choices
from sparsectl.policy.sb3_zip import read_members
from sparsectl.policy.state_dict import (
    MEND,
    Array,
    chain_of,
    indices_of,
    read_layers,
    read_saved,
    tensors_of,
)

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

ACTING = (
    *("actor.latent_pi.", "actor.mu.", "mlp_extractor.policy_net.", "mlp_extractor.shared_net."),
    "q_net.",
)
"""Prefixes of the tensors of the acting network, none of which may be left unread."""

EXTRACTORS = ("FlattenExtractor", "CombinedExtractor")
"""Feature extractors of Stable-Baselines3 that only flatten, if the observation is no image."""

LIBRARIES = ("stable_baselines3", "sb3_contrib")

SPACES = {
    "observations": ("box.Box'>", "dict.Dict'>"),
    "actions": ("box.Box'>", ".discrete.Discrete'>"),
}
"""Endings of the names of the classes that are read."""

CLIP_MEAN = 2.0
"""Limit of the mean in SAC with gSDE, if the zip states no other
(stable_baselines3/sac/policies.py)."""

BY_ONNX = (
    "torch.onnx.export of model.policy.actor (TD3), of Sequential(model.actor.latent_pi, "
    "model.actor.mu, Tanh()) (SAC), or of Sequential(model.policy.mlp_extractor.policy_net, "
    "model.policy.action_net) (PPO, A2C)"
)
"""Distributions are left out: torch's new exporter cannot trace them."""


@dataclass(frozen=True)
class Actor:
    """The layout of an actor in the state dict.

    Attributes:
        layers: names of its linear layers, in order.
        activation: of the hidden layers, if the zip does not state it.
        squashed: whether the output is tanh scaled to the bounds; otherwise it is clipped to them.
        clip_mean: the last sum is clipped to ± this before the tanh; 0: it is not.
        values: the kind of value for each choice, `q_values` or `logits`; None: it outputs actions.
    """

    layers: tuple[str, ...]
    activation: str
    squashed: bool
    clip_mean: float = 0.0
    values: str | None = None


def read_sb3(
    path: Path,
    activation: str | None = None,
    action_low: Sequence[float] | None = None,
    action_high: Sequence[float] | None = None,
) -> ActorNetwork:
    """Read the deterministic actor of SAC, TQC, TD3, DDPG, PPO, A2C, TRPO or DQN.

    It acts as the library's own `predict(observation, deterministic=True)`.

    Args:
        path: the zip that `model.save` wrote.
        activation: of the hidden layers; by default what the zip says, else the algorithm's.
        action_low, action_high: bounds of the action; by default what the zip says.

    Raises:
        UserError: the zip is truncated, foreign or hostile, or its actor is not a plain MLP.
    """
    policy_bytes, data = read_members(path)
    _check_data(path, data)
    state = tensors_of(path, read_saved(path, policy_bytes, "policy.pth"), "policy.pth")
    actor = _actor(path, state, data)
    weights, biases = read_layers(path, state, actor.layers)
    hidden = activation or _stated_activation(path, data) or actor.activation
    if hidden not in (known := sorted(set(ACTIVATION_NAMES.values()))):
        raise UserError(f"{path}: activation {hidden!r} is not among {', '.join(known)}")
    size = weights[-1].shape[0]
    if actor.values is not None:
        return _of_choices(path, data, weights, biases, hidden, actor.values)
    low = _bound(path, "low", action_low, data, size)
    high = _bound(path, "high", action_high, data, size)
    middle, half = np.float32(0.5) * (high + low), np.float32(0.5) * (high - low)
    if actor.clip_mean:  # tanh is monotonic: clipping before it is clipping its result
        reach = np.float32(np.tanh(actor.clip_mean)) * half
        low, high = middle - reach, middle + reach
    return ActorNetwork(
        weights,
        biases,
        hidden,
        actor.squashed,
        middle if actor.squashed else np.zeros(size, np.float32),
        half if actor.squashed else np.ones(size, np.float32),
        low,
        high,
    )


def _of_choices(
    path: Path,
    data: dict[str, Any],
    weights: tuple[Array, ...],
    biases: tuple[Array, ...],
    activation: str,
    values: str,
) -> ActorNetwork:
    """Return the network of an actor that outputs a value for each choice."""
    size = weights[-1].shape[0]
    space = _entries(data, "action_space")
    try:
        count, first = int(str(space.get("n", size))), int(str(space.get("start", 0)))
    except ValueError as error:
        raise UserError(f"{path}: its action_space is not Discrete; save it again") from error
    if count != size:
        raise UserError(f"{path} has {size} outputs for {count} choices; save the model again")
    nothing, one = np.zeros(size, np.float32), np.ones(size, np.float32)
    limits = np.full(size, -np.inf, np.float32), np.full(size, np.inf, np.float32)
    choices = Choices(first, count, values)
    return ActorNetwork(weights, biases, activation, False, nothing, one, *limits, choices)


def _check_data(path: Path, data: dict[str, Any]) -> None:
    """Refuse what the parameters do not show: custom classes, images, masks of choices."""
    module = _entries(data, "policy_class").get("__module__")
    if isinstance(module, str) and ".maskable." in module:
        raise UserError(
            f"{path} is of MaskablePPO, whose environment says in each step which choices there "
            "are; a policy here knows no such masks"
        )
    if isinstance(module, str) and module.partition(".")[0] not in LIBRARIES:
        raise UserError(
            f"{path} has a policy of a class of its own, in {module}, which may act in any way; "
            + MEND
        )
    extractor = _entries(data, "policy_kwargs").get("features_extractor_class")
    if extractor is not None and not any(
        re.fullmatch(rf"<class 'stable_baselines3\.common\.torch_layers\.{name}'>", str(extractor))
        for name in EXTRACTORS
    ):
        raise UserError(
            f"{path} has the features extractor {extractor}, which is not known; {MEND}"
        )
    for part, space in (("observations", "observation_space"), ("actions", "action_space")):
        kind = _entries(data, space).get(":type:")
        if isinstance(kind, str) and not kind.endswith(SPACES[part]):
            name = kind.rpartition(".")[2].strip("'>")
            choice = " and one choice among a few (Discrete)" if part == "actions" else ""
            raise UserError(
                f"{path} has {name} {part}; only vectors of real numbers (Box){choice} can be "
                f"distilled so far; ONNX of it can be exported: {BY_ONNX}"
            )
    seen = _entries(data, "observation_space")
    shape = seen.get("_shape")
    if isinstance(shape, list) and len(shape) == 3 and "uint8" in str(seen.get("dtype")):
        raise UserError(
            f"{path} observes images of shape {shape}; convolutions are read from ONNX: {BY_ONNX}"
        )


def _entries(data: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the plain fields of an object, which the zip has beside its pickle."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _actor(path: Path, state: dict[str, Any], data: dict[str, Any]) -> Actor:
    """Find out the algorithm and return the layout of its actor.

    Raises:
        UserError: the algorithm is not known, or the actor has other than plain layers.
    """
    recurrent = [key for key in state if key.startswith(("lstm_", "actor.lstm"))]
    if recurrent:
        raise UserError(f"{path}: {recurrent[0]} is of a recurrent policy; only MLPs are read")
    if indices_of(state, r"q_net\.q_net\.(\d+)"):  # DQN
        actor = Actor(chain_of(path, state, "q_net.q_net"), "relu", False, values="q_values")
    elif "action_net.weight" in state:
        actor = _on_policy_actor(path, state, data)
    elif any(key.startswith("actor.log_std") for key in state):
        actor = _sac_actor(path, state, data)
    elif indices_of(state, r"actor\.mu\.(\d+)"):  # TD3 and DDPG
        actor = Actor(chain_of(path, state, "actor.mu"), "relu", squashed=True)
    elif indices_of(state, r"actor\.latent_pi\.(\d+)") and "actor.mu.weight" in state:
        layers = (*chain_of(path, state, "actor.latent_pi"), "actor.mu")  # SAC of a shortened file
        actor = Actor(layers, "relu", squashed=True)
    else:
        raise UserError(
            f"{path} has no actor that is a plain MLP of SAC, TQC, TD3, DDPG, PPO, A2C, TRPO or "
            f"DQN; {MEND}"
        )
    _refuse_extras(path, state, actor.layers)
    return actor


def _on_policy_actor(path: Path, state: dict[str, Any], data: dict[str, Any]) -> Actor:
    """Return the actor of PPO, A2C or TRPO: the mean, clipped; with gSDE and `squash_output` its
    tanh, scaled; for discrete actions the logits."""
    if str(_entries(data, "action_space").get(":type:")).endswith(".discrete.Discrete'>"):
        layers = (*chain_of(path, state, "mlp_extractor.policy_net"), "action_net")
        return Actor(layers, "tanh", False, values="logits")
    arguments = _entries(data, "policy_kwargs")
    squashed = arguments.get("squash_output", False)
    if not isinstance(squashed, bool):
        raise UserError(f"{path}: squash_output is {squashed!r}; save the model again")
    deviation = state.get("log_std")
    unsaid = "use_sde" not in data and deviation is not None and deviation.dim() == 2
    if unsaid:  # gSDE has a deviation for each feature, and may squash
        raise UserError(f"{path} does not say whether it squashes its output; save it again")
    layers = (*chain_of(path, state, "mlp_extractor.policy_net"), "action_net")
    return Actor(layers, "tanh", squashed)


def _sac_actor(path: Path, state: dict[str, Any], data: dict[str, Any]) -> Actor:
    """Return the actor of SAC or TQC: the tanh of the mean, which gSDE clips first."""
    hidden = chain_of(path, state, "actor.latent_pi")
    if "actor.mu.weight" in state:
        return Actor((*hidden, "actor.mu"), "relu", squashed=True)
    clip = _entries(data, "policy_kwargs").get("clip_mean", CLIP_MEAN)
    if not isinstance(clip, (int, float)) or not 0 < clip < 1e6:
        raise UserError(f"{path}: clip_mean is {clip!r}; save the model again")
    return Actor((*hidden, "actor.mu.0"), "relu", squashed=True, clip_mean=float(clip))


def _refuse_extras(path: Path, state: dict[str, Any], names: tuple[str, ...]) -> None:
    known = {f"{name}.{part}" for name in names for part in ("weight", "bias")}
    acting = ("actor.features_extractor.", "features_extractor.", "pi_features_extractor.")
    extras = [key for key in state if key.startswith(acting)]
    extras += [key for key in state if key.startswith(ACTING) and key not in known]
    if extras:
        raise UserError(
            f"{path}: {extras[0]} is part of the actor and no plain layer; "
            "export the policy to ONNX and give that"
        )


def _stated_activation(path: Path, data: dict[str, Any]) -> str | None:
    """The zip writes `activation_fn` as text, `<class 'torch.nn.modules.activation.ELU'>`.

    Raises:
        UserError: it is a class that is not known, or no class.
    """
    stated = _entries(data, "policy_kwargs").get("activation_fn")
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
        stated = _stated_bound(data, key)
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


def _stated_bound(data: dict[str, Any], key: str) -> list[float] | None:
    """The zip writes a Box's bounds as numpy prints them, `[-1. -1.]`; long ones are shortened."""
    space = data.get("action_space")
    text = space.get(key) if isinstance(space, dict) else None
    if not isinstance(text, str):
        return None
    try:
        return [float(number) for number in re.sub(r"[\[\]]", " ", text).split()]
    except ValueError:
        return None
