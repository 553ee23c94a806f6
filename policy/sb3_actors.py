"""Where the acting network stands in the state dict that Stable-Baselines3 or sb3-contrib saved,
and its weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.actor_network import Lstm
from sparsectl.policy.state_dict import (
    MEND,
    Array,
    chain_of,
    indices_of,
    read_array,
    read_layers,
)

ACTING = (
    *("actor.latent_pi.", "actor.mu.", "mlp_extractor.policy_net.", "mlp_extractor.shared_net."),
    *("q_net.", "quantile_net.", "action_net.", "lstm_actor."),
)
"""Prefixes of the tensors of the acting network, none of which may be left unread."""

LSTM = "lstm_actor"

CLIP_MEAN = 2.0
"""Limit of the mean in SAC with gSDE, if the zip states no other
(stable_baselines3/sac/policies.py)."""

RENORM_EPSILON = 1e-3
"""Epsilon of CrossQ's batch renormalisation, if the zip states no other
(sb3_contrib/crossq/policies.py)."""

RENORM_PARTS = ("ra_mean", "ra_var", "scale", "bias")

KNOWN = "SAC, TQC, CrossQ, TD3, DDPG, PPO, RecurrentPPO, A2C, TRPO, ARS, DQN or QRDQN"


@dataclass(frozen=True)
class Actor:
    """The layout of an actor in the state dict.

    Attributes:
        layers: names of its linear layers, in order.
        activation: of the hidden layers, if the zip does not state it.
        squashed: whether the output is tanh scaled to the bounds; otherwise it is clipped to them.
        clip_mean: the last sum is clipped to ± this before the tanh; 0: it is not.
        values: the kind of value for each choice, `q_values` or `logits`; None: it outputs actions.
        lstm_layers: number of layers of LSTM cells before the linear ones.
        renormalised: names of the batch renormalisations, one before each linear layer, or none.
        epsilon: of these.
        quantiles: whether the last layer gives quantiles of each choice's value.
    """

    layers: tuple[str, ...]
    activation: str
    squashed: bool
    clip_mean: float = 0.0
    values: str | None = None
    lstm_layers: int = 0
    renormalised: tuple[str, ...] = ()
    epsilon: float = RENORM_EPSILON
    quantiles: bool = False


def entries(data: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the plain fields of an object, which the zip has beside its pickle."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def actor_of(path: Path, state: dict[str, Any], data: dict[str, Any]) -> Actor:
    """Find out the algorithm and return the layout of its actor.

    Args:
        path: of the file, for messages.
        state: its tensors by name.
        data: the plain fields of its member `data`.

    Raises:
        UserError: the algorithm is not known, or the actor has other than plain layers.
    """
    if indices_of(state, r"q_net\.q_net\.(\d+)"):  # DQN
        actor = Actor(chain_of(path, state, "q_net.q_net"), "relu", False, values="q_values")
    elif indices_of(state, r"quantile_net\.quantile_net\.(\d+)"):  # QRDQN
        layers = chain_of(path, state, "quantile_net.quantile_net")
        actor = Actor(layers, "relu", False, values="q_values", quantiles=True)
    elif indices_of(state, r"action_net\.(\d+)"):
        actor = _ars_actor(path, state, data)
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
        raise UserError(f"{path} has no actor that is a plain network of {KNOWN}; {MEND}")
    _refuse_extras(path, state, actor)
    return actor


@dataclass(frozen=True)
class Layers:
    """The linear layers of an actor.

    Attributes:
        weights, biases: [out, in] and [out] each, in order.
        offset, scale: [observations]; the first layer takes (observation - offset) / scale.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    offset: Array
    scale: Array


def layers_of(path: Path, state: dict[str, Any], actor: Actor, choices: int) -> Layers:
    """Read the linear layers. What is linear between them, a renormalisation or the mean over
    quantiles, is folded into them in float64; the mean and variance of observations are kept apart,
    as float32 would lose small differences of large observations in a bias.

    Args:
        path: of the file, for messages.
        state: its tensors by name.
        actor: their layout.
        choices: number of choices that the last layer gives quantiles for.

    Raises:
        UserError: as `read_layers`, or a renormalisation does not fit its layer.
    """
    biased = dict(state)
    for name in actor.layers:  # ARS can do without biases
        if f"{name}.bias" not in state and (weight := state.get(f"{name}.weight")) is not None:
            biased[f"{name}.bias"] = weight.new_zeros(weight.shape[:1])
    weights, biases = (list(arrays) for arrays in read_layers(path, biased, actor.layers))
    inputs = weights[0].shape[1]
    offset, scale = np.zeros(inputs, np.float32), np.ones(inputs, np.float32)
    for index, name in enumerate(actor.renormalised):
        weight = weights[index].astype(np.float64)
        mean, variance, gain, shift = _renormalisation(path, state, name, weight.shape[1])
        deviation = np.sqrt(variance + actor.epsilon)
        if index == 0:
            offset, scale = mean.astype(np.float32), deviation.astype(np.float32)
        else:
            gain = gain / deviation
            shift = shift - gain * mean
        biases[index] = (biases[index] + weight @ shift).astype(np.float32)
        weights[index] = (weight * gain).astype(np.float32)
    if actor.quantiles:
        rows, columns = weights[-1].shape
        if choices < 1 or rows % choices:
            raise UserError(f"{path} has {rows} quantiles for {choices} choices; save it again")
        mean_weight = weights[-1].astype(np.float64).reshape(-1, choices, columns).mean(axis=0)
        mean_bias = biases[-1].astype(np.float64).reshape(-1, choices).mean(axis=0)
        weights[-1], biases[-1] = mean_weight.astype(np.float32), mean_bias.astype(np.float32)
    return Layers(tuple(weights), tuple(biases), offset, scale)


def lstm_of(path: Path, state: dict[str, Any], actor: Actor) -> tuple[Lstm, ...]:
    """Return the layers of LSTM cells before the linear ones.

    Raises:
        UserError: their sizes do not fit together, or they are not torch's plain ones.
    """
    found: list[Lstm] = []
    for index in range(actor.lstm_layers):
        names = [f"{LSTM}.{part}_l{index}" for part in ("weight_ih", "weight_hh")]
        w, u = (read_array(path, state, name, 2) for name in names)
        names = [f"{LSTM}.{part}_l{index}" for part in ("bias_ih", "bias_hh")]
        zeros = w[:, 0] * 0  # with lstm_kwargs={"bias": False} there are none
        b, c = (read_array(path, state, n, 1) if n in state else zeros for n in names)
        units = u.shape[1]
        before = found[-1].units if found else w.shape[1]
        if {w.shape[0], u.shape[0], b.size, c.size} != {4 * units} or w.shape[1] != before:
            raise UserError(
                f"{path}: layer {index} of {LSTM} has weights of shapes {w.shape} and {u.shape}, "
                f"which do not fit together; {MEND}"
            )
        found.append(Lstm(w, u, b, c))
    return tuple(found)


def _renormalisation(path: Path, state: dict[str, Any], name: str, size: int) -> list[Any]:
    """Return the mean, variance, gain and shift of a batch renormalisation, [size] each."""
    arrays = [
        read_array(path, state, f"{name}.{part}", 1).astype(np.float64) for part in RENORM_PARTS
    ]
    if {array.size for array in arrays} != {size} or (arrays[1] < 0).any():
        raise UserError(f"{path}: {name} does not fit the layer after it; {MEND}")
    return arrays


def _on_policy_actor(path: Path, state: dict[str, Any], data: dict[str, Any]) -> Actor:
    """Return the actor of PPO, RecurrentPPO, A2C or TRPO: the mean, clipped; with gSDE and
    `squash_output` its tanh, scaled; for discrete actions the logits."""
    layers = (*chain_of(path, state, "mlp_extractor.policy_net"), "action_net")
    lstm_layers = len([key for key in state if re.fullmatch(LSTM + r"\.weight_ih_l\d+", key)])
    if _is_discrete(data):
        return Actor(layers, "tanh", False, values="logits", lstm_layers=lstm_layers)
    squashed = _squashes(path, data, False)
    deviation = state.get("log_std")
    unsaid = "use_sde" not in data and deviation is not None and deviation.dim() == 2
    if unsaid:  # gSDE has a deviation for each feature, and may squash
        raise UserError(f"{path} does not say whether it squashes its output; save it again")
    return Actor(layers, "tanh", squashed, lstm_layers=lstm_layers)


def _ars_actor(path: Path, state: dict[str, Any], data: dict[str, Any]) -> Actor:
    """Return the actor of ARS: of its linear policy the sums, clipped; of its MLP their tanh,
    scaled; for discrete actions the greatest of the sums."""
    layers = chain_of(path, state, "action_net")
    if _is_discrete(data):
        return Actor(layers, "relu", False, values="logits")
    text = str(entries(data, "policy_class").get("__init__"))
    match = re.match(r"<function (ARSLinearPolicy|ARSPolicy)\.__init__ at ", text)
    if match is None:
        raise UserError(f"{path} does not say whether its policy is linear; save it again")
    return Actor(layers, "relu", _squashes(path, data, match.group(1) == "ARSPolicy"))


def _sac_actor(path: Path, state: dict[str, Any], data: dict[str, Any]) -> Actor:
    """Return the actor of SAC, TQC or CrossQ: the tanh of the mean, which gSDE clips first."""
    renormalised: tuple[str, ...] = ()
    epsilon = RENORM_EPSILON
    if any(re.fullmatch(r"actor\.latent_pi\.\d+\.ra_mean", key) for key in state):
        hidden, renormalised = _renormalised_chain(path, state)
        epsilon = _positive(path, data, "batch_norm_eps", RENORM_EPSILON)
    else:
        hidden = chain_of(path, state, "actor.latent_pi")
    if "actor.mu.weight" in state:
        layers, clip = (*hidden, "actor.mu"), 0.0
    else:
        layers, clip = (*hidden, "actor.mu.0"), _positive(path, data, "clip_mean", CLIP_MEAN)
    return Actor(layers, "relu", True, clip, renormalised=renormalised, epsilon=epsilon)


def _renormalised_chain(
    path: Path, state: dict[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of CrossQ's hidden layers, and of the renormalisations: one before each of
    them, and one behind the last activation."""
    prefix = "actor.latent_pi"
    layers = indices_of(state, re.escape(prefix) + r"\.(\d+)")
    matches = (re.fullmatch(rf"{re.escape(prefix)}\.(\d+)\.ra_mean", key) for key in state)
    renorms = sorted(int(match.group(1)) for match in matches if match)
    count = len(layers)
    in_turn = [3 * index for index in range(count + 1)]
    if not count or layers != [place + 1 for place in in_turn[:-1]] or renorms != in_turn:
        raise UserError(
            f"{path}: {prefix} has layers at places {layers} and renormalisations at {renorms}, "
            f"not in turn; {MEND}"
        )
    names = (tuple(f"{prefix}.{place}" for place in places) for places in (layers, renorms))
    hidden, renormalised = names
    return hidden, renormalised


def _is_discrete(data: dict[str, Any]) -> bool:
    return str(entries(data, "action_space").get(":type:")).endswith(".discrete.Discrete'>")


def _squashes(path: Path, data: dict[str, Any], default: bool) -> bool:
    said = entries(data, "policy_kwargs").get("squash_output", default)
    if not isinstance(said, bool):
        raise UserError(f"{path}: squash_output is {said!r}; save the model again")
    return said


def _positive(path: Path, data: dict[str, Any], name: str, default: float) -> float:
    """Return a number of the policy's arguments.

    Raises:
        UserError: it is none, or not within (0, 1e6).
    """
    said = entries(data, "policy_kwargs").get(name, default)
    if isinstance(said, bool) or not isinstance(said, (int, float)) or not 0 < said < 1e6:
        raise UserError(f"{path}: {name} is {said!r}; save the model again")
    return float(said)


def _refuse_extras(path: Path, state: dict[str, Any], actor: Actor) -> None:
    known = {f"{name}.{part}" for name in actor.layers for part in ("weight", "bias")}
    known |= {f"{name}.{part}" for name in actor.renormalised for part in (*RENORM_PARTS, "steps")}
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    known |= {f"{LSTM}.{part}_l{i}" for part in parts for i in range(actor.lstm_layers)}
    acting = ("actor.features_extractor.", "features_extractor.", "pi_features_extractor.")
    extras = [key for key in state if key.startswith(acting)]
    extras += [key for key in state if key.startswith(ACTING) and key not in known]
    if extras:
        raise UserError(
            f"{path}: {extras[0]} is part of the actor and no plain layer; "
            "export the policy to ONNX and give that"
        )
