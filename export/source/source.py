"""The interface of a source: the user's model, run by other code than the export's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sparsectl.policy.activations import Float32, Float64


@dataclass(frozen=True)
class Normaliser:
    """(observation - offset) / scale, each of shape [observation_size], as the source computes it
    first."""

    offset: Float64
    scale: Float64


class Source(Protocol):
    """A model as the user gave it. It shares no code with the reader that makes a PolicyGraph of
    it, nor with the passes, so that their mistakes are detected."""

    @property
    def file(self) -> str:
        """Name of the file."""

    @property
    def sha256(self) -> str:
        """Digest of the file's bytes, 64 hexadecimal digits."""

    @property
    def data_sha256(self) -> dict[str, str]:
        """Digest of each file beside it that contains tensors, by name."""

    @property
    def output(self) -> str | None:
        """Name of the output with the actions, if the file has names."""

    @property
    def unused_inputs(self) -> tuple[str, ...]:
        """Names of inputs that the output does not depend on; the policy does not take them."""

    @property
    def run_by(self) -> str:
        """Name of what runs it in float32: onnxruntime, onnx's reference, torch or numpy."""

    @property
    def has_float64_numbers(self) -> bool:
        """Whether it holds numbers in float64 that a policy, in float32, rounds."""

    @property
    def normaliser(self) -> Normaliser | None:
        """The normaliser that was found in it, if any."""

    @property
    def thresholds(self) -> tuple[str, ...]:
        """Names of the places where it compares, saturates, chooses or divides by 0, in the order
        of `margins`."""

    @property
    def unsought(self) -> frozenset[str]:
        """Thresholds on both sides of which no observations are required: divisions by 0, and
        choices of equal value."""

    def run(self, observations: Float32) -> Float32:
        """Return actions [count, action_size] for observations [count, observation_size], in
        float32, in the source's order of operations."""

    def exact(self, observations: Float32) -> Float64:
        """Return the same actions, computed in float64."""

    def rounding(self, observations: Float32) -> Float64:
        """Return a bound of the float32 rounding error of each action in the source's own order of
        operations, [count, action_size]."""

    def margins(self, observations: Float32) -> Float64:
        """Return [count, thresholds]: the difference of the compared values; for poles the
        divisor."""
