"""Many students of one form, acting side by side: the same kept weights have other values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sparsectl.policy.acting.networks import ACTIVATIONS, Array, Mlp
from sparsectl.policy.student_file import StudentLayer

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Stacked:
    """Networks [students] with their dead neurons left out.

    Attributes:
        weights: of each layer [students, in, out].
        biases: of each layer [students, 1, out].
        of: the network whose activations and normaliser are theirs.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    of: Mlp

    def act(self, observations: Array) -> Array:
        """Return actions [students, B, m] in physical units for observations [students, B, n]."""
        network = self.of
        hidden: Array = (observations - network.observation_offset) / network.observation_scale
        layers = zip(self.weights, self.biases, network.activations, strict=True)
        for weight, bias, activation in layers:
            hidden = ACTIVATIONS[activation](hidden @ weight + bias)
        physical = hidden * network.action_scale + network.action_offset
        clipped: Array = np.minimum(np.maximum(physical, network.action_low), network.action_high)
        return clipped


class KeptParameters:
    """A student's kept weights and its biases that are not 0, as one vector.

    Args:
        layers: masked.
        network: the same student, acting in physical units.
    """

    def __init__(self, layers: Sequence[StudentLayer], network: Mlp) -> None:
        self._layers, self._network = tuple(layers), network
        masks = [_mask(layer) for layer in self._layers]
        feeds: list[Flags] = [np.ones(len(masks[-1]), np.bool_)]
        for mask in reversed(masks[1:]):
            feeds.insert(0, np.asarray(mask[feeds[0]].any(axis=0)))
        rows = [np.flatnonzero(each) for each in feeds]
        columns = [np.arange(masks[0].shape[1]), *rows[:-1]]
        self._places = [np.ix_(*each) for each in zip(rows, columns, strict=True)]
        self._rows = rows
        self._kept = [mask[place] for mask, place in zip(masks, self._places, strict=True)]
        self._biased: list[Flags] = [
            layer.bias[row] != 0 for layer, row in zip(self._layers, rows, strict=True)
        ]
        self._sizes = [int(flags.sum()) for flags in (*self._kept, *self._biased)]

    def __len__(self) -> int:
        return sum(self._sizes)

    def values(self) -> Values:
        """Return the present values, [parameters]: the weights layer by layer, then the biases."""
        parts = [
            layer.mean[place][kept]
            for layer, place, kept in zip(self._layers, self._places, self._kept, strict=True)
        ]
        parts += [
            layer.bias[row][biased]
            for layer, row, biased in zip(self._layers, self._rows, self._biased, strict=True)
        ]
        return np.concatenate(parts).astype(np.float64)

    def stacked(self, values: Values) -> Stacked:
        """Return students with these values, [students, parameters]."""
        weights, biases = self._parts(values)
        stacked_weights, stacked_biases = [], []
        for part, kept in zip(weights, self._kept, strict=True):
            dense = np.zeros((len(values), *kept.shape), np.float32)
            dense[:, kept] = part
            stacked_weights.append(np.ascontiguousarray(dense.swapaxes(1, 2)))
        for part, biased in zip(biases, self._biased, strict=True):
            row = np.zeros((len(values), 1, len(biased)), np.float32)
            row[:, 0, biased] = part
            stacked_biases.append(row)
        return Stacked(tuple(stacked_weights), tuple(stacked_biases), self._network)

    def layers(self, values: Values) -> tuple[StudentLayer, ...]:
        """Return the student with these values, [parameters]; what feeds nothing stays as it
        was."""
        weights, biases = self._parts(values)
        made = []
        for i, layer in enumerate(self._layers):
            mean, bias = layer.mean.copy(), layer.bias.copy()
            part = mean[self._places[i]]
            part[self._kept[i]] = weights[i]
            mean[self._places[i]] = part
            row = bias[self._rows[i]]
            row[self._biased[i]] = biases[i]
            bias[self._rows[i]] = row
            made.append(replace(layer, mean=mean, bias=bias))
        return tuple(made)

    def _parts(self, values: Values) -> tuple[list[Values], list[Values]]:
        parts = np.split(values, np.cumsum(self._sizes)[:-1], axis=-1)
        return parts[: len(self._kept)], parts[len(self._kept) :]


def _mask(layer: StudentLayer) -> Flags:
    assert layer.mask is not None  # fine-tuned students are masked
    return np.asarray(layer.mask, np.bool_)
