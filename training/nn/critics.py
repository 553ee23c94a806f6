"""Twin critics of one or many students, with gradients in closed form.

Each student's pair Q1, Q2 are two MLPs with ReLU. All pairs are one batched matrix product a layer;
both passes write into buffers that are made once, which saves most of what autograd spends on so
small a network. In bfloat16 the hidden layers' products take half the time; parameters, Adam and
the last layer stay float32, since a bfloat16 value of 300 is known to ±1 only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sparsectl.training.nn.flat import VectorAdam, views

AT_ONCE = 8
"""Networks whose hidden layers are in memory at a time; more of them exceed the cache."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

_threshold_backward = torch.ops.aten.threshold_backward.grad_input


def relu_(values: Tensor) -> None:
    """ReLU in place. A bfloat16 below zero is an int16 below zero, which is faster to compare."""
    if values.dtype == torch.bfloat16:
        values = values.view(torch.int16)
    values.clamp_(min=0)


def relu_backward_(gradient: Tensor, values: Tensor) -> None:
    """Zero the gradient, in place, where ReLU's values are zero."""
    if gradient.dtype == torch.bfloat16:
        gradient, values = gradient.view(torch.int16), values.view(torch.int16)
    _threshold_backward(gradient, values, 0, grad_input=gradient)


class Networks:
    """K networks' parameters as views of one flat tensor.

    Args:
        values: [P] float32; hidden layers first, then the last layer.
        sizes: inputs, hidden neurons, 1.
        count: K.
        dtype: of the hidden layers' products.

    Attributes:
        weights, biases: of each hidden layer, [K, in, out] and [K, 1, out], in `dtype`.
        last_weight, last_bias: [K, 1, in] and [K, 1], float32.
    """

    def __init__(
        self, values: Tensor, sizes: Sequence[int], count: int, dtype: torch.dtype
    ) -> None:
        shapes = parameter_shapes(sizes, count)
        hidden = sum(math.prod(shape) for shape in shapes[:-2])
        self._exact = values[:hidden]
        self._low = self._exact if dtype == values.dtype else self._exact.to(dtype)
        parts = views(self._low, shapes[:-2])
        self.weights, self.biases = parts[::2], parts[1::2]
        self.last_weight, self.last_bias = views(values[hidden:], shapes[-2:])

    def refresh(self) -> None:
        """Round the parameters after they have changed."""
        if self._low is not self._exact:
            self._low.copy_(self._exact)

    def widen(self) -> None:
        """Copy the rounded values into the flat tensor, as for a gradient."""
        if self._low is not self._exact:
            self._exact.copy_(self._low)

    def part(self, which: slice) -> Part:
        """Return some of the networks."""
        return Part(
            [weight[which] for weight in self.weights],
            [bias[which] for bias in self.biases],
            self.last_weight[which],
            self.last_bias[which],
        )


class Part(NamedTuple):
    """Parameters of some networks, views of the whole."""

    weights: list[Tensor]
    biases: list[Tensor]
    last_weight: Tensor
    last_bias: Tensor


def parameter_shapes(sizes: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """Return shapes of the parameters in the order of the flat tensor: weight and bias per
    layer."""
    shapes: list[tuple[int, ...]] = []
    for fan_in, outputs in zip(sizes[:-2], sizes[1:-1], strict=True):
        shapes += [(count, fan_in, outputs), (count, 1, outputs)]
    return [*shapes, (count, 1, sizes[-2]), (count, 1)]


class Pass:
    """Values of some networks and their gradients, in buffers made once; the last values are kept.

    Args:
        sizes: inputs, hidden neurons, 1.
        count: networks, K.
        rows: inputs to each network, B.
        dtype: of the hidden layers.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        count: int,
        rows: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        def buffer(width: int, dtype: torch.dtype = dtype) -> Tensor:
            return torch.empty(count, rows, width, dtype=dtype, device=device)

        self._hidden = [buffer(width) for width in sizes[1:-1]]
        self._gradients = [buffer(width) for width in sizes[1:-1]]
        exact = dtype == torch.float32
        self._top = self._hidden[-1] if exact else buffer(sizes[-2], torch.float32)

    def values(self, part: Part, inputs: Tensor) -> Tensor:
        """Return values [K, B], float32, for inputs [K, B, inputs]."""
        below = inputs
        for weight, bias, out in zip(part.weights, part.biases, self._hidden, strict=True):
            torch.baddbmm(bias, below, weight, out=out)
            relu_(out)
            below = out
        if self._top is not below:
            self._top.copy_(below)
        bias, weight = part.last_bias[..., None], part.last_weight.transpose(1, 2)
        return torch.baddbmm(bias, self._top, weight)[..., 0]

    def parameter_gradients(self, gradient: Tensor, part: Part, inputs: Tensor, out: Part) -> None:
        """Fill `out` with the gradients in all parameters, from those [K, B] in each last value."""
        self._backward_last(gradient, part)
        for layer in reversed(range(len(self._hidden))):
            below = self._hidden[layer - 1] if layer else inputs
            torch.bmm(below.transpose(1, 2), self._gradients[layer], out=out.weights[layer])
            torch.sum(self._gradients[layer], dim=1, keepdim=True, out=out.biases[layer])
            if layer:
                self._backward(layer, part)
        torch.bmm(gradient[:, None], self._top, out=out.last_weight)
        torch.sum(gradient, dim=1, keepdim=True, out=out.last_bias)

    def input_gradients(self, part: Part, after: int) -> Tensor:
        """Return the gradients [K, B, inputs - after] of the values with respect to the inputs from
        a column on, float32."""
        self._backward_last(torch.ones_like(self._top[..., 0]), part)
        for layer in reversed(range(1, len(self._hidden))):
            self._backward(layer, part)
        return torch.bmm(self._gradients[0], part.weights[0][:, after:].transpose(1, 2)).float()

    def _backward_last(self, gradient: Tensor, part: Part) -> None:
        """Backpropagate from a gradient [K, B] in each value to the last hidden layer's sums."""
        dtype = self._gradients[-1].dtype
        torch.bmm(
            gradient[..., None].to(dtype), part.last_weight.to(dtype), out=self._gradients[-1]
        )
        relu_backward_(self._gradients[-1], self._hidden[-1])

    def _backward(self, layer: int, part: Part) -> None:
        """Backpropagate from a hidden layer's sums to the sums of the layer below."""
        weight, out = part.weights[layer], self._gradients[layer - 1]
        torch.bmm(self._gradients[layer], weight.transpose(1, 2), out=out)
        relu_backward_(out, self._hidden[layer - 1])


class FirstCritics:
    """Q1 of S students: one network each, or one that all share.

    Args:
        networks: the first ones are Q1.
        sizes: observations and actions, hidden neurons, 1.
        students: S.
        rows: transitions in a student's minibatch, B.
    """

    def __init__(
        self,
        networks: Networks,
        sizes: Sequence[int],
        students: int,
        rows: int,
        dtype: torch.dtype,
        device: torch.device,
        *,
        shared: bool = False,
    ) -> None:
        count = 1 if shared else students
        self._inputs = torch.empty(students, rows, sizes[0], dtype=dtype, device=device)
        self._per_network = self._inputs.view(count, -1, sizes[0])
        self._networks = networks.part(slice(count))
        self._pass = Pass(sizes, count, students * rows // count, dtype, device)

    @torch.no_grad()
    def value(self, state_action: Tensor) -> Tensor:
        """Return Q1's values [S, B] for observations beside actions [S, B, n + m]."""
        self._inputs.copy_(state_action)
        return self._pass.values(self._networks, self._per_network).view(self._inputs.shape[:2])

    @torch.no_grad()
    def value_and_gradient(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return Q1's values [S, B] and their gradients in the actions, [S, B, m]."""
        n = observations.shape[2]
        self._inputs[..., :n] = observations
        self._inputs[..., n:] = actions
        values = self._pass.values(self._networks, self._per_network)
        gradients = self._pass.input_gradients(self._networks, n)
        return values.view(actions.shape[:2]), gradients.view_as(actions)


class TwinCritics:
    """Q1 and Q2 of S students, their targets and their optimiser.

    Args:
        sizes: observations and actions, hidden neurons, 1.
        starts: a generator for each student, on the CPU.
        batch_size: transitions in a student's minibatch.
        learning_rate: of Adam.
        dtype: of the hidden layers' products, one of `DTYPES`.
        device: where everything lives.

    Attributes:
        values: [P] float32, all parameters; network s is student s's Q1, network S + s its Q2.
        first: the students' Q1.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        starts: Sequence[torch.Generator],
        batch_size: int,
        learning_rate: float,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.students = len(starts)
        count = 2 * self.students
        self.adam = VectorAdam(_start(sizes, starts).to(device), learning_rate)
        self.values = self.adam.values
        self.target_values = self.values.clone()
        self.online = Networks(self.values, sizes, count, dtype)
        self.target = Networks(self.target_values, sizes, count, dtype)
        self._gradient = Networks(self.adam.gradient, sizes, count, dtype)
        self._inputs = torch.empty(count, batch_size, sizes[0], dtype=dtype, device=device)
        self._values = torch.empty(count, batch_size, device=device)
        at_once = max(size for size in range(1, AT_ONCE + 1) if count % size == 0)
        self._groups = [slice(start, start + at_once) for start in range(0, count, at_once)]
        made = (self.online, self.target, self._gradient)
        self._parts = [[networks.part(group) for networks in made] for group in self._groups]
        self._pass = Pass(sizes, at_once, batch_size, dtype, device)
        self.first = FirstCritics(self.online, sizes, self.students, batch_size, dtype, device)

    @torch.no_grad()
    def learn(
        self,
        state_action: Tensor,
        next_observations: Tensor,
        next_actions: Tensor,
        rewards: Tensor,
        discounts: Tensor,
    ) -> Tensor:
        """Take one step towards r + discount · min(Q1', Q2')(s', a') with the target networks Q'.

        Args:
            state_action: [S, B, n + m].
            next_observations: [S, B, n].
            next_actions: [S, B, m].
            rewards, discounts: [S, B]; a discount of 0 behind a termination.

        Returns:
            Tensor: [S], the sum of both critics' mean squared errors.
        """
        every, n = self._inputs, next_observations.shape[2]
        inputs = every.view(2, *state_action.shape)
        inputs[..., :n] = next_observations
        inputs[..., n:] = next_actions
        values = self._values
        for group, (_, target, _) in zip(self._groups, self._parts, strict=True):
            values[group] = self._pass.values(target, every[group])
        after = values.view(2, *rewards.shape).amin(dim=0)
        wanted = torch.addcmul(rewards, discounts, after).repeat(2, 1)
        inputs[:] = state_action
        for group, (online, _, own) in zip(self._groups, self._parts, strict=True):
            values[group] = self._pass.values(online, every[group]).sub_(wanted[group])
            gradient = values[group] * (2 / rewards.shape[1])
            self._pass.parameter_gradients(gradient, online, every[group], own)
        self._gradient.widen()
        self.adam.apply()
        self.online.refresh()
        squares = values.square().view(2, *rewards.shape)
        return squares.sum(dim=(0, 2)) / rewards.shape[1]

    @torch.no_grad()
    def soft_update(self, rate: float) -> None:
        """Move the target networks by this share towards the parameters."""
        self.target_values.lerp_(self.values, rate)
        self.target.refresh()

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next update depends on; not copies."""
        return {**self.adam.state("critics"), "target_critics": self.target_values}

    def loaded(self) -> None:
        """Call this after the state has been changed."""
        self.online.refresh()
        self.target.refresh()


def _start(sizes: Sequence[int], generators: Sequence[torch.Generator]) -> Tensor:
    """Draw parameters as torch.nn.Linear does, each student's pair from its generator."""
    parts = []
    for fan_in, outputs in zip(sizes, sizes[1:], strict=False):
        bound = 1 / math.sqrt(fan_in)
        for shape in ((2, fan_in, outputs), (2, 1, outputs)):
            drawn = [torch.rand(shape, generator=generator) for generator in generators]
            parts.append((torch.stack(drawn, dim=1) * 2 - 1).mul_(bound).flatten())
    return torch.cat(parts)
