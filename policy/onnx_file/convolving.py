"""Recognise neurons that are all the sums of one convolution, as one layer that stores the weights
once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sparsectl.policy.activations import ACTIVATIONS, Float64
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.layer import Layer
from sparsectl.policy.onnx_file.program import Convolve
from sparsectl.policy.onnx_file.symbol import NOTHING, Symbol


@dataclass(frozen=True, eq=False)
class Share:
    """scale * (one of a convolution's sums) + offset."""

    step: Convolve
    place: int
    """Index among the convolution's atoms."""
    scale: float
    offset: float


def share_of(step: Convolve, atom: int, scale: float, shift: float, offset: float) -> Share:
    """Return scale * (atom + shift) + offset."""
    return Share(step, atom - step.first, scale, scale * shift + offset)


@dataclass(frozen=True, eq=False)
class Image:
    """A layer of one convolution."""

    geometry: Convolution
    weight: Float64
    bias: Float64
    kind: tuple[str, tuple[float, ...]]
    """The activation and its parameters."""
    results: list[int]
    """The resulting values, in the layer's order."""

    @property
    def size(self) -> int:
        """Number of its weights."""
        return int(self.weight.size)

    def layer(self) -> Layer:
        with np.errstate(over="ignore", under="ignore"):
            weight, bias = self.weight.astype(np.float32), self.bias.astype(np.float32)
        return Layer(weight, bias, *self.kind, convolution=self.geometry)


def convolved(
    kind: tuple[str, tuple[float, ...]],
    shares: Sequence[Share],
    results: Sequence[int],
    inputs: Symbol,
    total: Float64,
    given: Sequence[int],
) -> Image | None:
    """Return the layer with a result for each share; None if they are not each of a convolution's
    sums once, with one scale and offset per channel, or if the values `given` are not its image.

    inputs, total: the convolution's inputs as scaled values, and what is added to each.
    """
    step = shares[0].step
    activation = ACTIVATIONS[kind[0]]
    whole = len(shares) == len(results) == step.count
    if not whole or activation.needs_whole_layer or activation.operands != 1:
        return None
    order = np.argsort([share.place for share in shares])
    places = np.array([shares[i].place for i in order])
    same_step = all(share.step is step for share in shares)
    geometry = _placed(step.geometry, inputs, given)
    if geometry is None or not same_step or not np.array_equal(places, np.arange(step.count)):
        return None
    channels = len(step.weight)
    scale = _of_channels(np.array([shares[i].scale for i in order]).reshape(-1, channels))
    offset = _of_channels(np.array([shares[i].offset for i in order]).reshape(-1, channels))
    by_channel = (step.geometry.channels, -1)
    factor = _of_channels(inputs.scale.reshape(by_channel).T)
    addend = _of_channels(total.reshape(by_channel).T)
    if scale is None or offset is None or factor is None or addend is None:
        return None
    if addend.any() and geometry.is_padded:  # beyond the edge nothing is added
        return None
    patch = np.arange(geometry.patch_size) % geometry.channels
    bias = scale * (step.bias + step.weight @ addend[patch]) + offset
    weight = scale[:, None] * step.weight * factor[patch]
    return Image(geometry, weight, bias, kind, [results[i] for i in order])


def _placed(geometry: Convolution, inputs: Symbol, given: Sequence[int]) -> Convolution | None:
    """Return the convolution of the values `given` in their order; None if they are not the image,
    channel by channel or pixel by pixel."""
    if len(given) != inputs.size or (inputs.atom == NOTHING).any():
        return None
    position = {value: index for index, value in enumerate(given)}
    if not all(value in position for value in inputs.atom.tolist()):
        return None
    found = np.array([position[value] for value in inputs.atom.tolist()])
    ordered = np.arange(inputs.size)
    if np.array_equal(found.reshape(geometry.channels, -1).T.reshape(-1), ordered):
        return replace(geometry, channels_first=False)
    return geometry if np.array_equal(found, ordered) else None


def _of_channels(values: Float64) -> Float64 | None:
    """[pixels, channels] -> [channels]; None where pixels differ."""
    return np.asarray(values[0]) if (values == values[0]).all() else None
