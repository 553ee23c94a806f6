"""A deterministic student whose cut weights stay zero."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from sparsectl.policy.dead_neurons import without_dead_weights
from sparsectl.policy.layer import Layer
from sparsectl.policy.student_file import StudentLayer
from sparsectl.training.students.encodings import Encoding, as_it_is
from sparsectl.training.students.images import patches, used_outputs
from sparsectl.training.students.pruning import Mask, Score, cut


class MaskedStudent(nn.Module):
    """ReLU layers and a tanh output, normalised in and out; weights outside the mask are zero.

    Only neurons with inputs or readers are computed, which are few in a student with a few hundred
    weights.

    Args:
        layers: the student, with its masks.
        encode: the rounding of the export's encoding, which the forward pass applies to the
            weights.
        squashed: whether the outputs pass a tanh; without it they are values of choices.

    Attributes:
        weights: [live out, live in] per layer; values outside the mask have no effect.
        biases: [live out] per layer.
        masks: [live out, live in] per layer, float32 of 0 and 1.
    """

    def __init__(
        self,
        layers: Sequence[StudentLayer],
        encode: Encoding = as_it_is,
        squashed: bool = True,
    ) -> None:
        super().__init__()
        self.squashed = squashed
        self._layers = tuple(layers)
        self._encode = encode
        kept = [layer.kept(np.inf) for layer in layers]
        self._live = _live(kept)
        self._convolution = layers[0].convolution
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        self.masks = []
        for index, (layer, mask) in enumerate(zip(layers, kept, strict=True)):
            into, out = self._inputs_of(index), self._live[index + 1]
            block = np.ix_(out, into)
            self.weights.append(torch.from_numpy(layer.mean[block]))
            self.biases.append(torch.from_numpy(layer.bias[out]))
            self.masks.append(torch.from_numpy(mask[block].astype(np.float32)))

    def on(self, device: torch.device) -> MaskedStudent:
        """Move the student and its masks to the device, and return it."""
        self.masks = [mask.to(device) for mask in self.masks]
        return self.to(device)

    def forward(self, observations: Tensor) -> Tensor:
        """Return actions [B, m] in [-1, 1], or values of choices, for observations [B, n]."""
        last, observed = len(self.masks) - 1, len(observations)
        observations = self._seen(observations)
        layers = zip(self.weights, self.biases, self.masks, strict=True)
        for index, (weight, bias, mask) in enumerate(layers):
            observations = torch.addmm(bias, observations, self._encode(weight * mask).t())
            if index < last:
                observations = observations.relu().view(observed, -1)
            elif self.squashed:
                observations = observations.tanh()
        return observations

    def _inputs_of(self, layer: int) -> Mask:
        """Return which inputs of a layer are computed: those of a live channel, at every place."""
        live, size = self._live[layer], self._layers[layer].mean.shape[1]
        return np.tile(live, size // len(live))

    def _seen(self, observations: Tensor) -> Tensor:
        """Return the rows that the first layer takes: the observations, or each patch of each
        image."""
        return (
            observations if self._convolution is None else patches(observations, self._convolution)
        )

    @torch.no_grad()
    def inputs(self, observations: Tensor) -> list[Tensor]:
        """Return the root mean square of each layer's inputs, [live in] per layer."""
        sizes, observed = [], len(observations)
        observations = self._seen(observations)
        for weight, bias, mask in zip(self.weights, self.biases, self.masks, strict=True):
            sizes.append(observations.square().mean(dim=0).sqrt())
            outputs = torch.addmm(bias, observations, (weight * mask).t())
            observations = outputs.relu().view(observed, -1)
        return sizes

    @torch.no_grad()
    def cut(self, score: Score, observations: Tensor, keep: int) -> None:
        """Keep `keep` weights at most, those with the best scores."""
        weights = [weight * mask for weight, mask in zip(self.weights, self.masks, strict=True)]
        scores = [value.cpu().numpy() for value in score(weights, self.inputs(observations))]
        masks = cut(scores, [mask.cpu().numpy() > 0 for mask in self.masks], keep)
        for before, mask in zip(self.masks, masks, strict=True):
            before.copy_(torch.from_numpy(mask))

    @torch.no_grad()
    def layers(self) -> tuple[StudentLayer, ...]:
        """Return the present layers at full size, simplified; pruned weights are zero."""
        result, masks = [], []
        for index, layer in enumerate(self._layers):
            into, out = self._inputs_of(index), self._live[index + 1]
            mean, bias = np.zeros_like(layer.mean), layer.bias.copy()
            weights = self._encode(self.weights[index] * self.masks[index])
            mean[np.ix_(out, into)] = weights.cpu().numpy()
            bias[out] = self.biases[index].cpu().numpy()
            mask = np.zeros(mean.shape, np.bool_)
            mask[np.ix_(out, into)] = self.masks[index].cpu().numpy() > 0
            result.append(replace(layer, mean=mean, bias=bias))
            masks.append(mask)
        return simplified(result, masks)


def _live(masks: Sequence[Mask]) -> list[Mask]:
    """Return which inputs, hidden neurons or channels, and outputs are computed: [n], then [out]
    per layer."""
    inputs = np.ones(masks[0].shape[1], np.bool_)
    pairs = zip(masks, masks[1:], strict=False)
    hidden = [mask.any(axis=1) | used_outputs(mask, after) for mask, after in pairs]
    return [inputs, *hidden, np.ones(masks[-1].shape[0], np.bool_)]


class _HostLayer(Layer):
    """A layer of a student, which may be wider than what a chip can run: Atari's images are."""

    max_width = sys.maxsize


def simplified(layers: Sequence[StudentLayer], masks: Sequence[Mask]) -> tuple[StudentLayer, ...]:
    """Return the layers without the weights that cannot matter; the outputs stay as they are.

    A weight into a neuron that nobody reads has no effect. A neuron without inputs is a constant:
    its contribution goes into the next layer's biases, and its outgoing weights are cut. A
    student with NaN or infinities keeps its masks.
    """
    weights = [np.where(mask, layer.mean, 0) for layer, mask in zip(layers, masks, strict=True)]
    if not all(np.isfinite(array).all() for array in (*weights, *(each.bias for each in layers))):
        return tuple(replace(layer, mask=mask) for layer, mask in zip(layers, masks, strict=True))
    masked = [
        _HostLayer(weight, layer.bias, "relu", convolution=layer.convolution)
        for layer, weight in zip(layers, weights, strict=True)
    ]
    return tuple(
        replace(layer, bias=left.bias.copy(), mask=left.weight != 0)
        for layer, left in zip(layers, without_dead_weights(masked), strict=True)
    )


def kept_weights(layers: Sequence[StudentLayer]) -> int:
    """Return the number of weights inside the masks; biases are not counted, as in the paper."""
    return sum(int(layer.kept(np.inf).sum()) for layer in layers)


def live_biases(layers: Sequence[StudentLayer]) -> int:
    """Return the number of nonzero biases, which a board stores beside the kept weights."""
    return sum(int(np.count_nonzero(layer.bias)) for layer in layers)
