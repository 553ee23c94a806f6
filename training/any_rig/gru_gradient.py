"""Compute the gradient of a small GRU over a sequence, compiled. torch spends ten times as long on
starting its operations, tick after tick, as such a network's arithmetic takes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@numba.njit(fastmath=True, error_model="numpy", cache=True, inline="always")
def tanh(x: Any) -> Any:
    """Return tanh of a float32, to its rounding. Unlike libm's, many are computed at once:
    Lambert's continued fraction of half the argument, doubled."""
    half = np.float32(0.5) * min(max(x, np.float32(-9)), np.float32(9))
    s = half * half
    above = ((s + np.float32(378)) * s + np.float32(17325)) * s + np.float32(135135)
    below = (np.float32(28) * s + np.float32(3150)) * s + np.float32(62370)
    t = half * above / (below * s + np.float32(135135))
    return (t + t) / (np.float32(1) + t * t)


class Trace(NamedTuple):
    """What a GRU computed over a sequence, float32. Rigs come last in all arrays, so that the
    innermost loops run over them."""

    states: Array
    """[ticks + 1, units, rigs]; the first one is that before the first tick."""
    gates: Array
    """For each tick reset, update, and the new state, [ticks, 3 * units, rigs]."""
    kept: Array
    """[ticks, units, rigs]: what the new state takes of the one before, before the reset."""
    duties: Array
    """[ticks, rigs]."""


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def gru_gradient(
    inputs: Array,
    labels: Array,
    weights: Array,
    state: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array,
    bias_hh: Array,
    weight: Array,
    bias: Array,
    g_ih: Array,
    g_hh: Array,
    g_bias_ih: Array,
    g_bias_hh: Array,
    g_weight: Array,
    g_bias: Array,
) -> float:
    """Loss of the duties against labels, and what it changes with.

    Args:
        inputs: [ticks, inputs, rigs].
        labels: duties [ticks, rigs].
        weights: of each squared difference, [ticks, rigs].
        state: [units, rigs]; is changed to that after the last tick.
        weight_ih: and the next five: as in `recurrent.Acting`.
        g_ih: and the next five: the gradients, of the same shapes, are added to these.
    """
    trace = gru_forward(inputs, state, weight_ih, weight_hh, bias_ih, bias_hh, weight, bias)
    total, two = 0.0, np.float32(2)
    slopes = np.empty_like(trace.duties)
    for t in range(len(slopes)):
        for k in range(slopes.shape[1]):
            difference = trace.duties[t, k] - labels[t, k]
            total += weights[t, k] * difference**2
            slopes[t, k] = two * weights[t, k] * difference
    gru_backward(
        inputs, trace, slopes, weight_hh, weight, g_ih, g_hh, g_bias_ih, g_bias_hh, g_weight, g_bias
    )
    state[:] = trace.states[-1]
    return total


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def gru_forward(
    inputs: Array,
    state: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array,
    bias_hh: Array,
    weight: Array,
    bias: Array,
) -> Trace:
    """Compute the duties of a sequence; arguments as `gru_gradient` has them."""
    ticks, _, rigs = inputs.shape
    units = weight.shape[1]
    states = np.empty((ticks + 1, units, rigs), np.float32)
    gates = np.empty((ticks, 3 * units, rigs), np.float32)
    kept = np.empty((ticks, units, rigs), np.float32)
    duties = np.empty((ticks, rigs), np.float32)
    states[0] = state
    for t in range(ticks):
        given, held = np.dot(weight_ih, inputs[t]), np.dot(weight_hh, states[t])
        duty = np.full(rigs, bias[0])
        for row in range(2 * units):
            _squash(gates[t, row], given[row], held[row], bias_ih[row] + bias_hh[row])
        for u in range(units):
            row = 2 * units + u
            h, n, after = kept[t, u], gates[t, row], states[t + 1, u]
            h[:] = held[row] + bias_hh[row]
            _refresh(n, given[row], gates[t, u], h, bias_ih[row])
            _blend(after, n, gates[t, units + u], states[t, u])
            duty += weight[0, u] * after
        for k in range(rigs):
            duties[t, k] = tanh(duty[k])
    return Trace(states, gates, kept, duties)


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def gru_backward(
    inputs: Array,
    trace: Trace,
    slopes: Array,
    weight_hh: Array,
    weight: Array,
    g_ih: Array,
    g_hh: Array,
    g_bias_ih: Array,
    g_bias_hh: Array,
    g_weight: Array,
    g_bias: Array,
) -> None:
    """Add the gradients of a loss whose slope on each duty is known, [ticks, rigs], to those from
    `g_ih` on; other arguments as `gru_gradient` has them."""
    states, gates, kept, duties = trace
    ticks, rigs = duties.shape
    units, one = weight.shape[1], np.float32(1)
    back, ones = np.zeros((units, rigs), np.float32), np.ones(rigs, np.float32)
    turned, gradients = np.ascontiguousarray(weight_hh.T), np.empty((3 * units, rigs), np.float32)
    held_gradients, a = np.empty((3 * units, rigs), np.float32), np.empty(rigs, np.float32)
    for t in range(ticks - 1, -1, -1):
        for k in range(rigs):
            o = duties[t, k]
            a[k] = slopes[t, k] * (one - o * o)
        for u in range(units):
            r, z, n = gates[t, u], gates[t, units + u], gates[t, 2 * units + u]
            d, d_n = back[u], gradients[2 * units + u]
            d += weight[0, u] * a
            _gradient_of_fresh(d_n, d, z, n)
            _gradient_of_gate(gradients[u], d_n, kept[t, u], r)
            held_gradients[2 * units + u] = d_n * r
            _gradient_of_blend(gradients[units + u], d, states[t, u], n, z)
            d *= z
        held_gradients[: 2 * units] = gradients[: 2 * units]
        back += np.dot(turned, held_gradients)
        g_ih += np.dot(gradients, inputs[t].T)
        g_hh += np.dot(held_gradients, states[t].T)
        g_weight += np.dot(a.reshape(1, rigs), states[t + 1].T)
        g_bias[0] += a.sum()
        g_bias_ih += np.dot(gradients, ones)
        g_bias_hh += np.dot(held_gradients, ones)


# One loop and one result a function, over the rigs: so each is vectorised.


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def _squash(gate: Array, given: Array, held: Array, bias: float) -> None:
    half = np.float32(0.5)
    for k in range(len(gate)):
        gate[k] = half + half * tanh(half * (given[k] + held[k] + bias))


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def _refresh(fresh: Array, given: Array, reset: Array, kept: Array, bias: float) -> None:
    for k in range(len(fresh)):
        fresh[k] = tanh(given[k] + bias + reset[k] * kept[k])


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def _blend(after: Array, fresh: Array, update: Array, before: Array) -> None:
    for k in range(len(after)):
        after[k] = fresh[k] + update[k] * (before[k] - fresh[k])


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def _gradient_of_fresh(gradient: Array, above: Array, update: Array, fresh: Array) -> None:
    one = np.float32(1)
    for k in range(len(gradient)):
        gradient[k] = above[k] * (one - update[k]) * (one - fresh[k] * fresh[k])


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def _gradient_of_gate(gradient: Array, above: Array, through: Array, gate: Array) -> None:
    one = np.float32(1)
    for k in range(len(gradient)):
        gradient[k] = above[k] * through[k] * gate[k] * (one - gate[k])


@numba.njit(fastmath=True, error_model="numpy", cache=True)
def _gradient_of_blend(
    gradient: Array, above: Array, before: Array, fresh: Array, update: Array
) -> None:
    one = np.float32(1)
    for k in range(len(gradient)):
        gradient[k] = above[k] * (before[k] - fresh[k]) * update[k] * (one - update[k])
