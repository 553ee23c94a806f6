"""What a source is, and how one is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sparsectl.policy.activations import Float32, Float64


@dataclass(frozen=True)
class Normaliser:
    """(observation - offset) / scale, [observation_size] each, as the source computes it first."""

    offset: Float64
    scale: Float64


class Source(Protocol):
    """A model as the user gave it. It shares nothing with the reader that makes a PolicyGraph of
    it, nor with the passes, so that a mistake of theirs shows."""

    @property
    def file(self) -> str:
        """The name of the file."""

    @property
    def sha256(self) -> str:
        """Of the file's bytes, 64 hexadecimal digits."""

    @property
    def data_sha256(self) -> dict[str, str]:
        """The same of each file beside it that its tensors are kept in."""

    @property
    def output(self) -> str | None:
        """The name of the output that is the actions, where the file has names."""

    @property
    def unused_inputs(self) -> tuple[str, ...]:
        """The names of inputs that do not lead to the output; the policy does not take them."""

    @property
    def run_by(self) -> str:
        """What runs it in float32: onnxruntime, onnx's reference, torch or numpy."""

    @property
    def normaliser(self) -> Normaliser | None:
        """The one that was found in it."""

    @property
    def thresholds(self) -> tuple[str, ...]:
        """Where it compares, cuts off, chooses or divides by 0: a name each, in the order of
        `margins`."""

    @property
    def unsought(self) -> frozenset[str]:
        """Those of the thresholds that a policy may well never meet: where it divides by 0, and
        where two choices are equally good."""

    def run(self, observations: Float32) -> Float32:
        """[count, observation_size] to [count, action_size], in float32 as the source has it."""

    def exact(self, observations: Float32) -> Float64:
        """The same function in float64."""

    def rounding(self, observations: Float32) -> Float64:
        """How far float32 may move each action in the source's own order of operations,
        [count, action_size]."""

    def margins(self, observations: Float32) -> Float64:
        """[count, thresholds]: what is compared less what it is compared with; of poles, what is
        divided by."""
