"""Optimal Brain Quantization: weights are rounded one after another, and the others compensate.

Rounded each by itself, the few hundred weights of a small policy add their errors up, and with the
eight bits of straight-int8 the policy may be lost. So the weight whose rounding costs least is
rounded first, and the others change so that the actions change least (Optimal Brain Quantization:
Frantar, Singh, Alistarh: "Optimal Brain Compression", 2022, section 5). How actions change is known
from their Jacobian in all weights, over observations that the policy really meets. With others,
spread over a box, errors would be compensated where the policy never is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.levenberg_marquardt import Damping
from sparsectl.export.encodings.fixed import tanh as fixed_tanh
from sparsectl.export.encodings.fixed.bounds import Bounds, running_bounds, sum_bounds, value_bounds
from sparsectl.export.encodings.fixed.format import Format
from sparsectl.export.encodings.fixed.matrix import Int
from sparsectl.export.encodings.fixed.policy import FixedLayer, FixedPolicy, is_shifted
from sparsectl.export.encodings.fixed.scales import fixed_policy
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.graph import PolicyGraph

Flags = NDArray[np.bool_]

MOST_PARAMETERS = 2000
"""Most parameters: with more, the matrix is large, and single weights matter little."""

ROOM_TRIED = 3
"""Bits by which scales may shrink, plus one, so that no sum exceeds its accumulator."""

STAGES = (0.5, 0.75, 0.9, 1.0)
"""Shares of rounded weights at which the Jacobian is computed again."""

STEPS = 4
"""Levenberg-Marquardt steps of the weights that are not rounded yet, after each stage."""

DAMPING = 1e-4
"""Added to the matrix's diagonal before it is inverted."""

FIRST_STEP_DAMPING = 1e-3
"""Damping of the first step of each stage: the share of the matrix's diagonal that is added to
it."""

_GREATEST_WHOLE = 2.0**40
"""A larger parameter fits no accumulator; this is far below the range of int64."""

FLOOR = 1e-6
"""Damping of parameters that change nothing."""

DERIVATIVES: dict[str, Callable[[Float64, Float64], Float64]] = {
    "relu": lambda sums, values: (sums > 0).astype(np.float64),
    "identity": lambda sums, values: np.ones_like(sums),
    "tanh": lambda sums, values: 1 - values**2,
}
"""Derivatives of activations, from their sums and values; a policy with other activations is
rounded without compensation."""


def policy_in(
    form: Format, graph: PolicyGraph, observations: Float32, are_met: bool
) -> FixedPolicy:
    """Return the graph in integers, with rounding compensated if the policy encounters such
    observations.

    If compensated weights could let a sum exceed its accumulator, the scales get some bits more
    room.
    """
    plain = fixed_policy(graph, observations, form)
    if not are_met:
        return plain
    found = compensated(plain, observations, form)
    for less in range(1, ROOM_TRIED):
        if found is None:
            narrow = replace(form, sum_bits=form.sum_bits - less)
            found = compensated(fixed_policy(graph, observations, narrow), observations, form)
    if found is None:
        return plain
    exact = graph.forward_exact(observations)
    return min(plain, found, key=lambda each: each.mean_square_error(observations, exact))


def compensated(policy: FixedPolicy, observations: Float32, form: Format) -> FixedPolicy | None:
    """Return the policy with its weights rounded anew; None if a sum could exceed its accumulator,
    or if numbers are too large for derivatives.

    A policy with many parameters, or with activations without derivatives here, is returned
    unchanged.

    Args:
        policy: its scales are kept.
        observations: [count, observation_size], such as the policy meets.
        form: the limits of its sums and biases.
    """
    network = _Network(policy.graph)
    if network.size > MOST_PARAMETERS or not network.is_differentiable:
        return policy
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            values = _rounded(network, _grid(policy, network), observations)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(values).all():
        return None
    found = _with(policy, network, values, form.bias_step)
    return None if found is None else _bounded(found, form.sum_bits)


class _Network:
    """A graph's weights, where it has some, and biases as one vector [P], layer after layer."""

    def __init__(self, graph: PolicyGraph) -> None:
        self.graph = graph
        self.places = [np.nonzero(layer.weight) for layer in graph.layers]
        self.size = sum(len(rows) for rows, _ in self.places)
        self.size += sum(layer.outputs for layer in graph.layers)
        self.is_differentiable = not graph.has_convolutions and all(
            layer.activation in DERIVATIVES for layer in graph.layers
        )

    def values(self) -> Float64:
        """[P]."""
        parts: list[Float64] = []
        for layer, places in zip(self.graph.layers, self.places, strict=True):
            parts += [layer.weight[places].astype(np.float64), layer.bias.astype(np.float64)]
        return np.concatenate(parts)

    def layers(self, values: Float64) -> list[tuple[Float64, Float64]]:
        """Return weights [out, in] and biases [out] of each layer."""
        found, at = [], 0
        for layer, places in zip(self.graph.layers, self.places, strict=True):
            weight = np.zeros(layer.weight.shape)
            middle = at + len(places[0])
            end = middle + layer.outputs
            weight[places] = values[at:middle]
            found.append((weight, values[middle:end]))
            at = end
        return found

    def actions(self, values: Float64, observations: Float32) -> Float64:
        """Return the outputs of the last layer, [m, B]."""
        return self._forward(values, observations)[1][-1]

    def jacobian(self, values: Float64, observations: Float32) -> tuple[Float64, Float64]:
        """Return actions [m, B] and their Jacobian in the parameters, [m, P, B]."""
        sums, xs = self._forward(values, observations)
        layers = self.layers(values)
        actions = xs[-1]
        jacobian = np.empty((len(actions), self.size, actions.shape[1]))
        for output, out in enumerate(jacobian):
            gradient, end = np.zeros_like(actions), self.size
            gradient[output] = 1.0
            for index in reversed(range(len(layers))):
                activation = self.graph.layers[index].activation
                gradient = gradient * DERIVATIVES[activation](sums[index], xs[index + 1])
                rows, columns = self.places[index]
                middle = end - len(gradient)
                out[middle:end] = gradient
                end = middle - len(rows)
                np.multiply(gradient[rows], xs[index][columns], out=out[end:middle])
                gradient = layers[index][0].T @ gradient
        return actions, jacobian

    def _forward(self, values: Float64, observations: Float32) -> tuple[list[Float64], ...]:
        sums: list[Float64] = []
        xs = [observations.astype(np.float64).T]
        for layer, (weight, bias) in zip(self.graph.layers, self.layers(values), strict=True):
            sums.append(weight @ xs[-1] + bias[:, None])
            xs.append(layer.activate_exact(sums[-1]))
        return sums, xs


class _Grid(NamedTuple):
    """The values that a weight may have: multiples of `step` up to `limit`; a bias may have any."""

    step: Float64
    limit: Float64
    is_weight: Flags

    def nearest(self, values: Float64, which: Int) -> Float64:
        step, limit = self.step[which], self.limit[which]
        whole: Float64 = np.clip(np.rint(values / step), -limit, limit) * step
        return whole


def _grid(policy: FixedPolicy, network: _Network) -> _Grid:
    steps: list[Float64] = []
    limits: list[Float64] = []
    for inputs, layer, (rows, columns) in zip(
        _input_scales(policy), policy.layers, network.places, strict=True
    ):
        biases = np.ones(layer.layer.outputs)
        steps += [inputs[columns] / layer.scale[rows], biases]
        greatest = np.abs(layer.weight).max(initial=1)
        limits += [np.full(len(rows), float(greatest)), 0 * biases]
    limit = np.concatenate(limits)
    return _Grid(np.concatenate(steps), limit, limit > 0)


def _input_scales(policy: FixedPolicy) -> list[Float64]:
    """Return the scales of the values that each layer takes."""
    scales = [np.exp2(policy.input_exponent.astype(np.float64))]
    for layer in policy.layers[:-1]:
        if is_shifted(policy, len(scales) - 1):
            scales.append(layer.scale / 2.0**policy.shift)
        elif layer.integer:
            scales.append(np.full(layer.layer.outputs, 2.0**fixed_tanh.OUTPUT_BITS))
        else:
            scales.append(np.exp2(layer.value_exponent.astype(np.float64)))
    return scales


def _rounded(network: _Network, grid: _Grid, observations: Float32) -> Float64:
    """Return the parameters with every weight on the grid."""
    values = network.values()
    labels = network.actions(values, observations)
    is_free = np.ones(len(values), bool)
    for share in STAGES:
        left = round((1 - share) * grid.is_weight.sum())
        values, is_free = _one_by_one(network, grid, observations, values, is_free, left)
        values = _compensated(network, observations, labels, values, is_free)
    return values


def _one_by_one(
    network: _Network,
    grid: _Grid,
    observations: Float32,
    values: Float64,
    is_free: Flags,
    left: int,
) -> tuple[Float64, Flags]:
    """Round until this many weights are left; also return which parameters are free then."""
    free = np.flatnonzero(is_free)
    _, jacobian = network.jacobian(values, observations)
    matrix = _products(jacobian[:, free]) + DAMPING * np.eye(len(free))
    inverse = np.linalg.inv(matrix)
    now, waits = values[free], grid.is_weight[free]
    while waits.sum() > left:
        own = np.maximum(inverse.diagonal(), 1e-12)
        residuals = now - grid.nearest(now, free)
        least = int(np.argmin(np.where(waits, residuals**2 / own, np.inf)))
        whole = now[least] - residuals[least]
        now = now - inverse[:, least] * (residuals[least] / own[least])
        inverse = inverse - np.outer(inverse[:, least], inverse[least] / own[least])
        now[least], waits[least] = whole, False
    values, is_free = values.copy(), is_free.copy()
    values[free] = now
    is_free[free] = waits | ~grid.is_weight[free]
    return values, is_free


def _compensated(
    network: _Network,
    observations: Float32,
    labels: Float64,
    values: Float64,
    is_free: Flags,
) -> Float64:
    """Take some damped steps of the free parameters towards the labels."""
    damping = FIRST_STEP_DAMPING
    for _ in range(STEPS):
        attempt = _attempts(network, observations, labels, values, is_free)
        stepped, damping = Damping().step(damping, attempt)
        values = values if stepped is None else stepped
    return values


def _attempts(
    network: _Network,
    observations: Float32,
    labels: Float64,
    values: Float64,
    is_free: Flags,
) -> Callable[[float], Float64 | None]:
    """Return a function from a damping to the parameters after a step; it returns None if the
    actions are no closer."""
    actions, jacobian = network.jacobian(values, observations)
    jacobian, residuals = jacobian[:, is_free], actions - labels
    before = np.sum(residuals**2)
    matrix = _products(jacobian)
    gradient = np.einsum("opb,ob->p", jacobian, residuals) / labels.shape[1]

    def attempt(damping: float) -> Float64 | None:
        damped = matrix + np.diag(damping * (matrix.diagonal() + FLOOR))
        tried = values.copy()
        tried[is_free] -= np.linalg.solve(damped, gradient)
        after = np.sum((network.actions(tried, observations) - labels) ** 2)
        return tried if after < before else None

    return attempt


def _products(jacobian: Float64) -> Float64:
    """Return J^T J / B, [P, P], of the Jacobian [m, P, B]."""
    return np.asarray(sum(each @ each.T for each in jacobian) / jacobian.shape[2], np.float64)


def _with(
    policy: FixedPolicy, network: _Network, values: Float64, bias_step: int
) -> FixedPolicy | None:
    """Return the policy with these parameters; None if one is not an integer within int64."""
    layers = []
    for inputs, layer, (weight, bias) in zip(
        _input_scales(policy), policy.layers, network.layers(values), strict=True
    ):
        with np.errstate(over="ignore", invalid="ignore"):
            whole = np.rint(weight / inputs * layer.scale[:, None])
            moved = np.rint((bias - layer.layer.bias) * layer.scale / bias_step)
        if not max(np.abs(whole).max(), np.abs(moved).max()) <= _GREATEST_WHOLE:
            return None
        bias_now = layer.bias + moved.astype(np.int64) * bias_step
        layers.append(replace(layer, weight=whole.astype(np.int64), bias=bias_now))
    return replace(policy, layers=tuple(layers))


def _bounded(policy: FixedPolicy, sum_bits: int) -> FixedPolicy | None:
    """Return the policy with its greatest possible sums; None if one exceeds its accumulator."""
    inputs = Bounds(-policy.input_limit, policy.input_limit)
    layers: list[FixedLayer] = []
    for index, layer in enumerate(policy.layers):
        running = running_bounds(layer.weight, layer.bias, inputs)
        if running.magnitude.max() >= 2 ** (sum_bits - 1):
            return None
        sums = sum_bounds(layer.weight, layer.bias, inputs)
        layers.append(replace(layer, greatest=sums.magnitude >> policy.shift))
        inputs = value_bounds(layer, sums, policy.shift if is_shifted(policy, index) else None)
    return replace(policy, layers=tuple(layers))
