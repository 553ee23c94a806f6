"""PolicyGraph: the waist of the project. Everything upstream makes one, everything downstream
takes one."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsectl.common.errors import UserError
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.layer import MAX_WIDTH as MAX_WIDTH
from sparsectl.policy.layer import Layer as Layer
from sparsectl.policy.layer import Segment as Segment

MAX_WEIGHTS = 1_000_000
"""Weights of a whole graph at most: 4 MB, above any microcontroller's flash. What export takes of
memory for them, and the compiler after it, stays under 500 MB."""
MAX_SIGNALS = 4096
"""Values of an observation, its frames with it, or of an action at most."""
MAX_LAYERS = 256

_PART_VALUES = 1_000_000
"""Of an array in float64 or int64: 8 MB."""
_WIDE_VALUES = 4_000_000
"""Of one in float32, where few rows at a time cost time."""
_CHUNK = 256  # observations at a time: keeps a layer's activations in the processor's cache


@dataclass(frozen=True)
class Signal:
    """One element of an observation's frame or of the action, in physical units.

    normalised = (physical - offset) / scale for observations;
    physical = clip(normalised * scale + offset, low, high) for actions.
    A limit of None is none; one beyond float32 becomes None.
    """

    name: str
    unit: str = "1"
    scale: float = 1.0
    offset: float = 0.0
    low: float | None = None
    high: float | None = None
    levels: tuple[float, ...] = ()
    """Of an action that is an index: what each index stands for, in the actuator's unit; none
    where the index is all that is known."""

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):
            scale, offset = np.float32(self.scale), np.float32(self.offset)
        if not np.isfinite(scale) or scale == 0:
            raise UserError(
                f"signal {self.name!r} has scale {self.scale}; give a finite one that is not 0"
            )
        if not np.isfinite(offset):
            raise UserError(f"signal {self.name!r} has offset {self.offset}; give a finite one")
        with np.errstate(over="ignore"):
            low = np.float32(-math.inf if self.low is None else self.low)
            high = np.float32(math.inf if self.high is None else self.high)
        if not (low <= high and low < math.inf and high > -math.inf):
            raise UserError(
                f"signal {self.name!r} has limits [{self.low}, {self.high}]; give low <= high"
            )
        if not all(abs(level) <= np.finfo(np.float32).max for level in self.levels):
            raise UserError(f"signal {self.name!r} has levels {self.levels}; give finite numbers")
        if low == -math.inf:
            object.__setattr__(self, "low", None)
        if high == math.inf:
            object.__setattr__(self, "high", None)


@dataclass(frozen=True, eq=False)
class PolicyGraph:
    """A controller, complete: layers, the signals at both ends, history and control period.

    The observation vector is `frames` x `observation`, the oldest frame first:
    index = frame * len(observation) + signal. Two graphs are the same controller when their
    digests are equal.

    Raises:
        UserError: a NaN or infinite weight, shapes that do not fit, sizes over the limits.
    """

    layers: tuple[Layer, ...]
    observation: tuple[Signal, ...]
    action: tuple[Signal, ...]
    frames: int = 1
    period_s: float = 0.0
    """Control period in seconds; 0 where it is not known."""
    rig: str | None = None
    environment: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("layers", "observation", "action"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise UserError(f"a policy of {len(self.layers)} layers; give 1 to {MAX_LAYERS}")
        if not (isinstance(self.frames, int) and self.frames >= 1):
            raise UserError(f"frames is {self.frames!r}; give a whole number from 1")
        if not (math.isfinite(self.period_s) and self.period_s >= 0):
            raise UserError(f"period_s is {self.period_s}; give seconds, or 0 if not known")
        self._check_shapes()

    def _check_shapes(self) -> None:
        inputs = self.observation_size
        for index, layer in enumerate(self.layers):
            if layer.inputs != inputs:
                before = f"layer {index - 1}" if index else "the observation"
                raise UserError(
                    f"layer {index} takes {layer.inputs} values but {before} has {inputs}; "
                    "make the sizes equal"
                )
            inputs = layer.results
        if self.layers[-1].activation == "clip":
            raise UserError("activation 'clip' after the last layer; give the actions limits")
        if inputs != len(self.action):
            raise UserError(
                f"the last layer gives {inputs} values but there are {len(self.action)} action "
                "signals; make the sizes equal"
            )
        weights = sum(layer.weight.size for layer in self.layers)
        if weights > MAX_WEIGHTS:
            raise UserError(
                f"a policy of {weights} weights ({4 * weights / 2**20:.0f} MB); give at most "
                f"{MAX_WEIGHTS}, or distil a smaller student from it"
            )
        for name, size in (("observation", self.observation_size), ("action", self.action_size)):
            if size > MAX_SIGNALS:
                raise UserError(f"an {name} of {size} values; give at most {MAX_SIGNALS}")

    @property
    def observation_size(self) -> int:
        return self.frames * len(self.observation)

    @property
    def action_size(self) -> int:
        return len(self.action)

    @property
    def sizes(self) -> tuple[int, int]:
        """Of the observation, all frames together, and of the action."""
        return self.observation_size, self.action_size

    @cached_property
    def kept_weights(self) -> int:
        """Weights that are not 0; biases are not counted."""
        return sum(layer.kept_weights for layer in self.layers)

    @cached_property
    def observation_scale(self) -> Float64:
        """Scale of each element of the observation vector, [observation_size]."""
        return np.tile([signal.scale for signal in self.observation], self.frames)

    @cached_property
    def observation_offset(self) -> Float64:
        """Offset of each element of the observation vector, [observation_size]."""
        return np.tile([signal.offset for signal in self.observation], self.frames)

    @cached_property
    def is_folded(self) -> bool:
        """Whether the observation's normaliser is the identity (see `policy.passes`)."""
        return bool(np.all(self.observation_scale == 1) and np.all(self.observation_offset == 0))

    def forward(self, observation: ArrayLike) -> Float32:
        """The action for an observation, in physical units, float32, as the C computes it.

        observation: [batch, observation_size] or [observation_size]; the result is [batch,
        action_size] or [action_size]. Finite observations agree bit for bit with the C; NaN in an
        observation comes out as NaN wherever a weight leads there.

        Raises:
            UserError: an observation of the wrong size.
        """
        batch = self.batch(np.asarray(observation, dtype=np.float32))
        action = np.empty((batch.shape[0], self.action_size), np.float32)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            rows = min(_CHUNK, max(1, _WIDE_VALUES // self.widest))
            for start in range(0, len(batch), rows):
                chunk = np.ascontiguousarray(batch[start : start + rows].T)
                action[start : start + rows] = self._forward_columns(chunk).T
        return action[0] if np.ndim(observation) == 1 else action

    def batch(self, observation: NDArray[Any]) -> NDArray[Any]:
        """One observation or several as [batch, observation_size].

        Raises:
            UserError: an observation of the wrong size.
        """
        batch = observation[None, :] if observation.ndim == 1 else observation
        if batch.ndim != 2 or batch.shape[1] != self.observation_size:
            raise UserError(
                f"an observation of shape {list(observation.shape)}; this policy takes "
                f"{self.observation_size} values ({self.frames} frames of "
                f"{len(self.observation)} signals)"
            )
        return batch

    def _forward_columns(self, x: Float32) -> Float32:
        if not self.is_folded:
            offset = self.observation_offset.astype(np.float32)[:, None]
            x = (x - offset) / self.observation_scale.astype(np.float32)[:, None]
        for layer in self.layers:
            x = layer.forward(x)
        return self.outputs(x)

    def outputs(self, values: Float32) -> Float32:
        """What the action's map makes of the last layer's values; [action_size, batch] both."""
        pairs = zip(self.action, values, strict=True)
        return np.stack([_output(signal, value) for signal, value in pairs])

    def forward_exact(self, observation: ArrayLike) -> Float64:
        """The same function in float64 with the exact activations: what rounding is measured
        against. Shapes as `forward`."""
        batch = self.batch(np.asarray(observation, dtype=np.float64))
        parts = [self._forward_exact(part) for part in in_parts(batch, self.widest)]
        action: Float64 = np.concatenate([np.empty((0, self.action_size)), *parts])
        return action[0] if np.ndim(observation) == 1 else action

    def values_exact(self, observations: Float64) -> Float64:
        """What the last layer's activation is taken of, in float64: [count, outputs of that layer].

        Of a policy that chooses, they are the values (Q or logits) of its choices.
        """
        return np.concatenate([self._values(part) for part in in_parts(observations, self.widest)])

    def _values(self, x: Float64) -> Float64:
        x = (x - self.observation_offset) / self.observation_scale
        for layer in self.layers[:-1]:
            x = layer.activate_exact(layer.sums(x).T).T
        return self.layers[-1].sums(x)

    def _forward_exact(self, x: Float64) -> Float64:
        x = self.layers[-1].activate_exact(self._values(x).T).T
        x = x * [signal.scale for signal in self.action] + [s.offset for s in self.action]
        low = [-math.inf if signal.low is None else signal.low for signal in self.action]
        high = [math.inf if signal.high is None else signal.high for signal in self.action]
        action: Float64 = np.clip(x, low, high)
        return action

    @property
    def widest(self) -> int:
        """The most values that a layer takes or makes of an observation."""
        return max(layer.widest for layer in self.layers)

    @property
    def has_convolutions(self) -> bool:
        return any(layer.convolution for layer in self.layers)

    def signals(self) -> dict[str, Any]:
        """The signals as JSON: what `sparsectl.signals` holds in every artefact."""
        return {
            "observation": [_described(signal) for signal in self.observation],
            "action": [_described(signal) for signal in self.action],
            "frames": self.frames,
            "period_s": self.period_s,
            "rig": self.rig,
        }

    def canonical_bytes(self) -> bytes:
        """What the digest is taken over; it does not depend on where or when the graph was made.

        The line "sparsectl.policy 1", a line of JSON (the signals and each layer's [out, in,
        activation, its parameters], after "mixed" the same of each segment, of a convolution its
        geometry last; keys sorted, no spaces, ASCII, numbers as Python's shortest repr), then each
        layer's weights, row by row, and biases as little-endian float32, with -0 written as 0.
        The environment's name and the provenance are left out: they do not change the controller.
        """
        shape = [
            [la.outputs, la.inputs, la.activation, *la.parameters]
            + [[se.neurons, se.activation, *se.parameters] for se in la.segments]
            + ([la.convolution.described()] if la.convolution else [])
            for la in self.layers
        ]
        head = json.dumps(
            {"signals": _canonical(self.signals()), "layers": shape},
            sort_keys=True,
            separators=(",", ":"),
        )
        arrays = [array for layer in self.layers for array in (layer.weight, layer.bias)]
        return b"".join(
            [f"sparsectl.policy 1\n{head}\n".encode("ascii")]
            + [array.astype("<f4").tobytes() for array in arrays]
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `canonical_bytes`, 64 hexadecimal digits."""
        return hashlib.sha256(self.canonical_bytes()).hexdigest()


def in_parts(batch: NDArray[Any], widest: int) -> Iterator[NDArray[Any]]:
    """Rows of `batch` as many at a time as keep arrays of `widest` values a row small."""
    rows = max(1, _PART_VALUES // widest)
    for start in range(0, len(batch), rows):
        yield batch[start : start + rows]


def _described(signal: Signal) -> dict[str, Any]:
    """As JSON; without levels where there are none."""
    entry = asdict(signal)
    levels = entry.pop("levels")
    return {**entry, "levels": list(levels)} if levels else entry


def _output(signal: Signal, value: Float32) -> Float32:
    """The action's map, skipping what does nothing, as the C does."""
    if signal.scale != 1:
        value = value * np.float32(signal.scale)
    if signal.offset != 0:
        value = value + np.float32(signal.offset)
    if signal.low is not None:
        value = np.where(value < np.float32(signal.low), np.float32(signal.low), value)
    if signal.high is not None:
        value = np.where(value > np.float32(signal.high), np.float32(signal.high), value)
    return value


def _canonical(value: Any) -> Any:
    """Numbers as floats with -0 made 0, so that 1 and 1.0 give the same bytes."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) + 0.0
    return value
