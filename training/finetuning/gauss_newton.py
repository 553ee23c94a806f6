"""Second-order imitation by a small student: curvature, a damped step, and the cost of a cut.

With a few hundred weights, the whole curvature fits into one small matrix. It gives the steps
(Levenberg 1944; Marquardt 1963), and the loss without a weight after the others have compensated
for it (Optimal Brain Surgeon: Hassibi and Stork 1993). The matrix is that of Gauss and Newton, H =
J^T J / B, with the Jacobian J of the actions in all parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sparsectl.common.levenberg_marquardt import Damping
from sparsectl.training.students.masked import MaskedStudent
from sparsectl.training.students.pruning import Mask, connected_weights

ROWS_AT_ONCE = 2048
"""Rows of J that fit into the processor's cache."""

STRIPES = 6
"""Precision in which H is summed."""

FIRST_DAMPING = 1e-3
DAMPING = Damping()
FLOOR = 1e-6
"""Damping of parameters without effect: weights into a neuron that is never active."""

CUT_DAMPING = 1e-4
"""Added to H's diagonal before it is inverted for a cut."""


class Parameters:
    """The kept weights and biases of a masked student as one vector [P], layer after layer.

    Args:
        student: its masks determine the weights, and must not change meanwhile.
    """

    def __init__(self, student: MaskedStudent) -> None:
        self.student = student
        self.kept = [mask.nonzero(as_tuple=True) for mask in student.masks]

    @torch.no_grad()
    def values(self) -> Tensor:
        """[P], float64."""
        parts = []
        for weight, bias, kept in zip(
            self.student.weights, self.student.biases, self.kept, strict=True
        ):
            parts += [weight[kept], bias]
        return torch.cat(parts).double()

    @torch.no_grad()
    def assign(self, values: Tensor) -> None:
        """Set the student's parameters to these values [P]."""
        for part, weight, bias, kept in zip(
            self.parts(values), self.student.weights, self.student.biases, self.kept, strict=True
        ):
            weight[kept] = part[0].to(weight.dtype)
            bias.copy_(part[1])

    def parts(self, values: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Split a vector [P] into the weights and the biases of each layer."""
        pairs, at = [], 0
        for (rows, _), bias in zip(self.kept, self.student.biases, strict=True):
            middle, end = at + len(rows), at + len(rows) + len(bias)
            pairs.append((values[at:middle], values[middle:end]))
            at = end
        return pairs

    @torch.no_grad()
    def jacobian(self, observations: Tensor, jacobian: Tensor) -> Tensor:
        """Return the actions [m, B], and write their Jacobian in the parameters into `jacobian` [m,
        P, B].

        Rows stand side by side, so that taking a neuron's is copying one line of memory; and memory
        that is used again costs less than the products that fill it.
        """
        student = self.student
        weights = [w * mask for w, mask in zip(student.weights, student.masks, strict=True)]
        inputs = [observations.t().contiguous()]
        for weight, bias in zip(weights[:-1], student.biases, strict=False):
            inputs.append(torch.addmm(bias[:, None], weight, inputs[-1]).relu())
        actions = torch.addmm(student.biases[-1][:, None], weights[-1], inputs[-1]).tanh()
        for output, parameters in enumerate(jacobian):
            gradient = torch.zeros_like(actions)
            gradient[output] = 1 - actions[output].square()
            for index, (of_weights, of_biases) in reversed([*enumerate(self.parts(parameters))]):
                rows, into = self.kept[index]
                torch.mul(gradient[rows], inputs[index][into], out=of_weights)
                of_biases.copy_(gradient)
                gradient = (weights[index].t() @ gradient) * (inputs[index] > 0)
        return actions


class Curvature(NamedTuple):
    """H [P, P] and the gradient g [P] of half the error, both float64, and the error itself."""

    matrix: Tensor
    gradient: Tensor
    error: float


def curvature(parameters: Parameters, observations: Tensor, labels: Tensor) -> Curvature:
    """Return curvature, gradient and error of the mean over B rows of the squared distance between
    actions and labels.

    Args:
        parameters: those of the present student.
        observations: [B, n], normalised.
        labels: [B, m], normalised.
    """
    count = len(parameters.values())
    matrix = torch.zeros(count, count, dtype=torch.float64, device=labels.device)
    gradient, error = matrix.new_zeros(count), 0.0
    room = labels.new_empty(labels.shape[1], count, min(len(labels), ROWS_AT_ONCE))
    for start in range(0, len(labels), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        jacobian = room[:, :, : len(labels[part])]
        residual = parameters.jacobian(observations[part], jacobian) - labels[part].t()
        for output, of_output in enumerate(jacobian):
            _add_upper(matrix, of_output)
            gradient += of_output @ residual[output]
        error += float(residual.square().sum())
    rows = len(labels)
    return Curvature((matrix.triu() + matrix.triu(1).t()) / rows, gradient / rows, error / rows)


def _add_upper(matrix: Tensor, jacobian: Tensor) -> None:
    """Add J^T J of one output's Jacobian [P, B] to the upper triangle, in stripes.

    The lower triangle is not computed: the matrix is symmetric, and this takes less than half the
    time.
    """
    width = -(-len(jacobian) // STRIPES)
    for start in range(0, len(jacobian), width):
        stripe = jacobian[start : start + width]
        matrix[start : start + width, start:] += stripe @ jacobian[start:].t()


@torch.no_grad()
def mean_error(student: MaskedStudent, observations: Tensor, labels: Tensor) -> float:
    """Return the mean over the rows of the squared distance between actions and labels."""
    return float((student(observations) - labels).square().sum(dim=1).mean())


def damped_step(
    student: MaskedStudent, observations: Tensor, labels: Tensor, damping: float
) -> tuple[float, float]:
    """Take one Levenberg-Marquardt step, with more damping until the error on these rows falls.

    Args:
        student: changed in place; unchanged if no step lowers the error.
        observations: [B, n], normalised.
        labels: [B, m], normalised.
        damping: λ, the share of H's diagonal that is added to it.

    Returns:
        tuple: the error before the step, and the λ for the next one.
    """
    parameters = Parameters(student)
    before = parameters.values()
    known = curvature(parameters, observations, labels)
    diagonal = known.matrix.diagonal() + FLOOR

    def attempt(damping: float) -> bool | None:
        factor, failed = torch.linalg.cholesky_ex(known.matrix + (damping * diagonal).diag())
        if failed:
            return None
        step = torch.cholesky_solve(known.gradient[:, None], factor)[:, 0]
        parameters.assign(before - step)
        return mean_error(student, observations, labels) < known.error or None

    stepped, damping = DAMPING.step(damping, attempt)
    if stepped is None:
        parameters.assign(before)
    return known.error, damping


def cut(student: MaskedStudent, observations: Tensor, labels: Tensor, keep: int) -> None:
    """Cut weights one by one until at most `keep` connected ones are left; the others compensate.

    The cut weight q is the one with the least cost w_q² / (2 [H⁻¹]_qq), and the others change by
    -w_q / [H⁻¹]_qq times column q of H⁻¹ (Hassibi and Stork 1993, equation 5). Biases stay.

    Args:
        student: changed in place, its masks too.
        observations: [B, n], normalised, for H.
        labels: [B, m], normalised.
        keep: weights.
    """
    parameters = Parameters(student)
    values = parameters.values()
    matrix = curvature(parameters, observations, labels).matrix
    matrix.diagonal().add_(CUT_DAMPING)
    inverse = torch.linalg.inv(matrix)
    masks = [mask.cpu().numpy() > 0 for mask in student.masks]
    places = _places(parameters)
    cuttable = torch.tensor([place is not None for place in places], device=values.device)
    while connected_weights(masks) > keep:
        own = inverse.diagonal().clamp_min(1e-12)
        cost = (values.square() / own).masked_fill(~cuttable, torch.inf)
        least = int(cost.argmin())
        column = inverse[:, least] / own[least].sqrt()
        values -= column * (values[least] / own[least].sqrt())
        inverse -= torch.outer(column, column)
        values[least] = 0.0
        cuttable[least] = False
        layer, row, into = places[least] or (0, 0, 0)
        masks[layer][row, into] = False
    parameters.assign(values)
    _apply(student, masks)


def _places(parameters: Parameters) -> list[tuple[int, int, int] | None]:
    """Return layer, row and column of each parameter; None for a bias."""
    places: list[tuple[int, int, int] | None] = []
    for layer, (kept, bias) in enumerate(
        zip(parameters.kept, parameters.student.biases, strict=True)
    ):
        places += [(layer, row, into) for row, into in zip(*map(Tensor.tolist, kept), strict=True)]
        places += [None] * len(bias)
    return places


def _apply(student: MaskedStudent, masks: Sequence[Mask]) -> None:
    for before, mask in zip(student.masks, masks, strict=True):
        before.copy_(torch.from_numpy(mask))
