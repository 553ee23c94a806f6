"""Actions of variational students and the gradients of their parameters, written out.

This computes what autograd does for a `VariationalStudent`, in buffers that are allocated once.
A layer's outputs are drawn, not its weights (local reparameterisation):

    y = x Wᵀ + b + √v ε,   v = x² (σ²)ᵀ

so that a gradient g in y, with t = g ε / √v, gives gᵀ x in W, Σ g in b, σ² (tᵀ x²) in log σ and
g W + x (t σ²) in x. In bfloat16 the hidden layers' products take half the time; parameters, Adam,
the divergence and the last layer stay float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsectl.training.nn.critics import relu_, relu_backward_
from sparsectl.training.students.priors import Divergence
from sparsectl.training.students.variational import (
    VARIANCE_FLOOR,
    VariationalLinear,
    VariationalStudent,
)


class LayerPass:
    """One layer of S students with its buffers.

    Args:
        layer: its parameters are read, and their gradients written.
        rows: observations per student, B.
        dtype: that of the products; if it is not float32, rounded copies of the parameters are
            kept.
    """

    def __init__(self, layer: VariationalLinear, rows: int, dtype: torch.dtype) -> None:
        students, width, inputs = layer.mean.shape

        def buffer(*shape: int) -> Tensor:
            return torch.empty(students, *shape, dtype=dtype, device=layer.mean.device)

        self.layer = layer
        self.exact = dtype == layer.mean.dtype
        self._mean = layer.mean.detach() if self.exact else buffer(width, inputs)
        self._bias = layer.bias.detach() if self.exact else buffer(1, width)
        self._variance = buffer(width, inputs)
        self._weight_gradient = buffer(width, inputs)
        self.inputs = buffer(rows, inputs)
        self._squares, self._slope_below = buffer(rows, inputs), buffer(rows, inputs)
        self.outputs, self._deviation = buffer(rows, width), buffer(rows, width)

    @property
    def dtype(self) -> torch.dtype:
        return self.outputs.dtype

    def refresh(self) -> None:
        """Read the present parameters."""
        if self.exact:
            torch.mul(self.layer.log_sigma, 2, out=self._variance).exp_()
        else:
            self._variance.copy_((2 * self.layer.log_sigma).exp_())
            self._mean.copy_(self.layer.mean)
            self._bias.copy_(self.layer.bias)

    def sample(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """Return outputs [S, B, out] for inputs [S, B, in] and standard normal noise [S, B,
        out]."""
        self.inputs = inputs
        torch.mul(inputs, inputs, out=self._squares)
        torch.bmm(self._squares, self._variance.transpose(1, 2), out=self._deviation)
        self._deviation.add_(VARIANCE_FLOOR).sqrt_()
        torch.baddbmm(self._bias, inputs, self._mean.transpose(1, 2), out=self.outputs)
        return self.outputs.addcmul_(self._deviation, noise)

    def backward(self, gradient: Tensor, noise: Tensor, *, further: bool) -> Tensor:
        """Write the gradients of the parameters, given those of the outputs [S, B, out].

        Returns those of the inputs, [S, B, in], if `further`, else None.
        """
        torch.div(noise, self._deviation, out=self._deviation).mul_(gradient)
        torch.sum(gradient, dim=1, keepdim=True, out=self.gradient(self.layer.bias))
        self._product(gradient, self.inputs, self.layer.mean)
        self._product(self._deviation, self._squares, self.layer.log_sigma)
        self.gradient(self.layer.log_sigma).mul_(self._variance)
        if further:
            torch.bmm(self._deviation, self._variance, out=self._squares)
            torch.bmm(gradient, self._mean, out=self._slope_below)
            self._slope_below.addcmul_(self.inputs, self._squares)
        return self._slope_below

    def _product(self, gradient: Tensor, inputs: Tensor, parameter: Tensor) -> None:
        out = self.gradient(parameter)
        if self.exact:
            torch.bmm(gradient.transpose(1, 2), inputs, out=out)
        else:
            torch.bmm(gradient.transpose(1, 2), inputs, out=self._weight_gradient)
            out.copy_(self._weight_gradient)

    @staticmethod
    def gradient(parameter: Tensor) -> Tensor:
        assert parameter.grad is not None  # FlatAdam allocates it
        return parameter.grad


class VariationalPass:
    """Sampled actions of S students, and their gradients; the last layer is always float32.

    Args:
        student: its parameters are read; call `refresh` after they changed.
        rows: observations per student, B.
        dtype: that of the hidden layers' products.
    """

    def __init__(self, student: VariationalStudent, rows: int, dtype: torch.dtype) -> None:
        *hidden, last = student.linear_layers()
        self._hidden = [LayerPass(layer, rows, dtype) for layer in hidden]
        self._last = LayerPass(last, rows, torch.float32)
        self._squashed = student.squashed
        self._noise: list[Tensor] = []
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Read the present parameters."""
        for layer in (*self._hidden, self._last):
            layer.refresh()

    @torch.no_grad()
    def actions(self, observations: Tensor, noise: list[Tensor]) -> Tensor:
        """Return sampled actions [S, B, m] in [-1, 1], or values of choices, float32; they are
        valid until the next call.

        Args:
            observations: [S, B, n], of each student's own minibatch.
            noise: standard normal, [S, B, out] for each layer.
        """
        self._noise = noise
        values = observations
        for layer, drawn in zip(self._hidden, noise, strict=False):
            values = layer.sample(values.to(layer.dtype), drawn)
            relu_(values)
        outputs = self._last.sample(values.float(), noise[-1])
        return outputs.tanh_() if self._squashed else outputs

    def backward(self, gradient: Tensor, divergence: Divergence, weights: Tensor) -> Tensor:
        """Set the gradients of the parameters.

        Args:
            gradient: that of the loss in the last actions, [S, B, m].
            divergence: that of a weight, which is added to the loss …
            weights: … with these weights, [S].

        Returns:
            Tensor: the divergences of the students, [S].
        """
        self._backward(gradient)
        layers = [layer.layer for layer in (*self._hidden, self._last)]
        parts = [add_divergence(layer, divergence, weights) for layer in layers]
        return torch.stack(parts).sum(dim=0)

    @torch.no_grad()
    def _backward(self, gradient: Tensor) -> None:
        if self._squashed:
            actions = self._last.outputs
            gradient = torch.addcmul(gradient, gradient * actions, actions, value=-1)
        further = bool(self._hidden)
        gradient = self._last.backward(gradient, self._noise[-1], further=further)
        for index in reversed(range(len(self._hidden))):
            layer = self._hidden[index]
            gradient = gradient.to(layer.dtype)
            relu_backward_(gradient, layer.outputs)
            gradient = layer.backward(gradient, self._noise[index], further=index > 0)


@torch.enable_grad()
def add_divergence(layer: VariationalLinear, divergence: Divergence, weights: Tensor) -> Tensor:
    """Add the gradients of the divergence with weights [S]; return the divergences [S]."""
    leaves = [part.detach().requires_grad_() for part in (layer.mean, layer.log_sigma)]
    value = divergence(*leaves)
    # A sum: passing gradients to `grad` makes torch import sympy, which takes a second.
    weighted = (value * weights.view(-1, 1, 1)).sum()
    gradients = torch.autograd.grad(weighted, leaves)
    for parameter, gradient in zip((layer.mean, layer.log_sigma), gradients, strict=True):
        LayerPass.gradient(parameter).add_(gradient)
    return value.detach().sum(dim=(1, 2))
