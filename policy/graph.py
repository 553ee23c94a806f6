"""PolicyGraph, the waist of the project: everything upstream makes one, and everything downstream
takes one."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsectl.common.errors import UserError
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.layer import MAX_LAYERS as MAX_LAYERS
from sparsectl.policy.layer import MAX_WIDTH as MAX_WIDTH
from sparsectl.policy.layer import Layer as Layer
from sparsectl.policy.layer import Segment as Segment
from sparsectl.policy.sequences import run_sequence
from sparsectl.policy.signals import Signal as Signal

MAX_WEIGHTS = 1_000_000
"""The most weights of a graph: 4 MB, more than the flash of any microcontroller. The memory that
export and then the compiler need for them stays under 500 MB."""
MAX_NUMBERS = 2_500_000
"""The same with the zeros beside them, of which a state that is carried past layers makes many."""
MAX_SIGNALS = 4096
"""The most values of an observation, including its frames, or of an action."""

_PART_VALUES = 1_000_000
"""The largest array in float64 or int64: 8 MB."""
_WIDE_VALUES = 4_000_000
"""The largest array in float32, of which few rows at a time would be slow."""
_CHUNK = 256  # observations at a time: keeps a layer's activations in the processor's cache


@dataclass(frozen=True, eq=False)
class PolicyGraph:
    """A complete controller: layers, the signals at both ends, history and control period.

    The observation vector is `frames` x `observation`, the oldest frame first:
    index = frame * len(observation) + signal. Two graphs are the same controller when their
    digests are equal.

    A recurrent policy passes a state from tick to tick. Its layers are one tick: they take the
    observation followed by the state, and give the action's values followed by the next state.
    `step` and `run` act; `step_graph` is the tick as a policy without a state.

    Raises:
        UserError: a NaN or infinite weight, shapes that do not fit, sizes over the limits.
    """

    layers: tuple[Layer, ...]
    observation: tuple[Signal, ...]
    action: tuple[Signal, ...]
    frames: int = 1
    period_s: float = 0.0
    """Control period in seconds; 0: not known."""
    rig: str | None = None
    environment: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    reset_state: tuple[float, ...] = ()
    """The state after a reset, rounded to float32; empty: the policy keeps no state."""

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):
            state = tuple(float(np.float32(value)) + 0.0 for value in self.reset_state)
        if not all(map(math.isfinite, state)):
            raise UserError(f"a reset state of {list(state)[:9]}; give finite numbers")
        object.__setattr__(self, "reset_state", state)
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
        inputs = self.observation_size + self.state_size
        first = "the observation with the state" if self.state_size else "the observation"
        for index, layer in enumerate(self.layers):
            if layer.inputs != inputs:
                before = f"layer {index - 1}" if index else first
                raise UserError(
                    f"layer {index} takes {layer.inputs} values but {before} has {inputs}; "
                    "make the sizes equal"
                )
            inputs = layer.results
        if self.layers[-1].activation == "clip":
            raise UserError("activation 'clip' after the last layer; give the actions limits")
        if inputs != len(self.action) + self.state_size:
            state = f" and a state of {self.state_size}" if self.state_size else ""
            raise UserError(
                f"the last layer gives {inputs} values but there are {len(self.action)} action "
                f"signals{state}; make the sizes equal"
            )
        weights = sum(int(np.count_nonzero(layer.weight)) for layer in self.layers)
        numbers = sum(layer.weight.size for layer in self.layers)
        if weights > MAX_WEIGHTS or numbers > MAX_NUMBERS:
            raise UserError(
                f"a policy of {weights} weights in layers of {numbers} ({4 * numbers / 2**20:.0f} "
                f"MB); give at most {MAX_WEIGHTS}, or distil a smaller student from it"
            )
        for name, size in (("observation", self.observation_size), ("action", self.action_size)):
            if size > MAX_SIGNALS:
                raise UserError(f"an {name} of {size} values; give at most {MAX_SIGNALS}")
            if size + self.state_size > MAX_SIGNALS:
                raise UserError(
                    f"a state of {self.state_size} values beside an {name} of {size}; give at most "
                    f"{MAX_SIGNALS} together"
                )

    @property
    def observation_size(self) -> int:
        return self.frames * len(self.observation)

    @property
    def action_size(self) -> int:
        return len(self.action)

    @property
    def state_size(self) -> int:
        """Number of values that are passed from tick to tick; 0: the policy keeps no state."""
        return len(self.reset_state)

    @property
    def sizes(self) -> tuple[int, int]:
        """Sizes of the observation, including all frames, and of the action."""
        return self.observation_size, self.action_size

    @cached_property
    def kept_weights(self) -> int:
        """Number of weights that are not 0; biases are not counted, nor, in a recurrent policy,
        weights that only pass a value on."""
        kept = sum(layer.kept_weights for layer in self.layers)
        return kept - sum(layer.carrying for layer in self.layers) if self.state_size else kept

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
        """Return whether the observation's normaliser is the identity (see `policy.passes`)."""
        return bool(np.all(self.observation_scale == 1) and np.all(self.observation_offset == 0))

    def forward(self, observation: ArrayLike) -> Float32:
        """Return the action for an observation, in physical units, float32, as the C computes it.

        observation: [batch, observation_size] or [observation_size]; the result is [batch,
        action_size] or [action_size]. Finite observations agree bit for bit with the C; NaN in an
        observation comes out as NaN wherever a weight leads there.

        Raises:
            UserError: the observation has the wrong size; or the policy keeps a state, so that an
                action also depends on the observations before it (see `step` and `run`).
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
        """Return one observation or several as [batch, observation_size].

        Raises:
            UserError: an observation of the wrong size; the policy keeps a state.
        """
        if self.state_size:
            raise UserError(
                f"the policy keeps a state of {self.state_size} values, so an action depends on "
                "the observations before it; use step(state, observation), or run(observations) "
                "for a sequence"
            )
        return self._as_batch(observation)

    def _as_batch(self, observation: NDArray[Any]) -> NDArray[Any]:
        batch = observation[None, :] if observation.ndim == 1 else observation
        if batch.ndim != 2 or batch.shape[1] != self.observation_size:
            raise UserError(
                f"an observation of shape {list(observation.shape)}; this policy takes "
                f"{self.observation_size} values ({self.frames} frames of "
                f"{len(self.observation)} signals)"
            )
        return batch

    def initial_state(self, count: int | None = None) -> Float32:
        """Return the state after a reset: [state_size], or [count, state_size]."""
        state = np.array(self.reset_state, np.float32)
        return state if count is None else np.repeat(state[None], count, axis=0)

    def step(self, state: ArrayLike, observation: ArrayLike) -> tuple[Float32, Float32]:
        """Return (action, next state) of one tick, as the C computes it.

        state: [state_size], observation: [observation_size], or [count, …] of both, where rows
        are independent; the results have the same form. A policy without a state takes and gives
        one of no values.

        Raises:
            UserError: a state or an observation of the wrong size.
        """
        observed = self._as_batch(np.asarray(observation, np.float32))
        held = np.asarray(state, np.float32)
        before = held[None] if held.ndim == 1 else held
        if before.shape != (len(observed), self.state_size):
            raise UserError(
                f"a state of shape {list(held.shape)} for {len(observed)} observations; this "
                f"policy has {self.state_size} values of state"
            )
        made = self.step_graph.forward(np.concatenate([observed, before], axis=1))
        action, after = made[:, : self.action_size], made[:, self.action_size :]
        return (action[0], after[0]) if np.ndim(observation) == 1 else (action, after)

    def run(self, observations: ArrayLike, resets: ArrayLike | None = None) -> Float32:
        """Return the actions of a sequence, [ticks, action_size], as the C computes them.

        Args:
            observations: [ticks, observation_size], one tick after another.
            resets: [ticks], whether the state is reset before that tick; the first always is.

        Raises:
            UserError: an observation of the wrong size, no tick, or resets of another number.
        """
        rows = self._as_batch(np.asarray(observations, np.float32))
        return run_sequence(self.step_graph.forward, self.initial_state(), rows, resets).actions

    @cached_property
    def step_graph(self) -> PolicyGraph:
        """Return one tick as a policy without a state: it maps the observation with all frames,
        followed by the state, to the action, followed by the next state."""
        if not self.state_size:
            return self
        state = tuple(Signal(f"state{index}") for index in range(self.state_size))
        return replace(
            self,
            observation=(*self.observation * self.frames, *state),
            action=(*self.action, *state),
            frames=1,
            reset_state=(),
        )

    def _forward_columns(self, x: Float32) -> Float32:
        if not self.is_folded:
            offset = self.observation_offset.astype(np.float32)[:, None]
            x = (x - offset) / self.observation_scale.astype(np.float32)[:, None]
        for layer in self.layers:
            x = layer.forward(x)
        return self.outputs(x)

    def outputs(self, values: Float32) -> Float32:
        """Apply the action's scale, offset and limits to the last layer's values; both are
        [action_size, batch]."""
        pairs = zip(self.action, values, strict=True)
        return np.stack([_output(signal, value) for signal, value in pairs])

    def forward_exact(self, observation: ArrayLike) -> Float64:
        """Compute the same function in float64 with the exact activations, as the reference for
        rounding errors. Shapes as in `forward`."""
        batch = self.batch(np.asarray(observation, dtype=np.float64))
        parts = [self._forward_exact(part) for part in in_parts(batch, self.widest)]
        action: Float64 = np.concatenate([np.empty((0, self.action_size)), *parts])
        return action[0] if np.ndim(observation) == 1 else action

    def values_exact(self, observations: Float64) -> Float64:
        """Return the inputs of the last layer's activation in float64: [count, outputs of that
        layer].

        For a policy that chooses, these are the values (Q or logits) of its choices.
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
        """The most values that any layer takes or makes for one observation."""
        return max(layer.widest for layer in self.layers)

    @property
    def has_convolutions(self) -> bool:
        return any(layer.convolution for layer in self.layers)

    def signals(self) -> dict[str, Any]:
        """The signals as JSON, as `sparsectl.signals` contains them in every artefact."""
        return {
            "observation": [_described(signal) for signal in self.observation],
            "action": [_described(signal) for signal in self.action],
            "frames": self.frames,
            "period_s": self.period_s,
            "rig": self.rig,
        }

    def canonical_bytes(self) -> bytes:
        """Return the bytes that the digest is computed from; they do not depend on where or when
        the graph was made.

        The line "sparsectl.policy 1", a line of JSON (the signals and each layer's [out, in,
        activation, its parameters], after "mixed" the same of each segment, of a convolution its
        geometry last; keys sorted, no spaces, ASCII, numbers as Python's shortest repr), then each
        layer's weights, row by row, and biases as little-endian float32, with -0 written as 0.
        A recurrent policy's JSON has its reset_state too. The environment's name and the provenance
        are left out: they do not change the controller.
        """
        shape = [
            [la.outputs, la.inputs, la.activation, *la.parameters]
            + [[se.neurons, se.activation, *se.parameters] for se in la.segments]
            + ([la.convolution.described()] if la.convolution else [])
            for la in self.layers
        ]
        state = {"reset_state": list(self.reset_state)} if self.state_size else {}
        head = json.dumps(
            {"signals": _canonical(self.signals()), "layers": shape, **state},
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
    """Yield as many rows of `batch` at a time as keep arrays of `widest` values per row small."""
    rows = max(1, _PART_VALUES // widest)
    for start in range(0, len(batch), rows):
        yield batch[start : start + rows]


def _described(signal: Signal) -> dict[str, Any]:
    """Return the signal as JSON, without levels where there are none."""
    entry = {each.name: getattr(signal, each.name) for each in fields(signal)}
    levels = entry.pop("levels")
    return {**entry, "levels": list(levels)} if levels else entry


def _output(signal: Signal, value: Float32) -> Float32:
    """Apply a signal's scale, offset and limits, leaving out those that have no effect, as the C
    does."""
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
    """Convert numbers to floats and -0 to 0, so that 1 and 1.0 give the same bytes."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) + 0.0
    return value
