"""The gradient of a small GRU over a sequence, compiled: torch spends ten times as long on starting
its operations, tick after tick, as such a network's arithmetic takes."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@numba.njit(fastmath=True, cache=True)
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

    Rigs come last in all arrays, so that the innermost loops run over them.

    Args:
        inputs: [ticks, inputs, rigs].
        labels: duties [ticks, rigs].
        weights: of each squared difference, [ticks, rigs].
        state: [units, rigs]; is changed to that after the last tick.
        weight_ih: and the next five: as in `recurrent.Acting`.
        g_ih: and the next five: the gradients, of the same shapes, are added to these.
    """
    ticks, size, rigs = inputs.shape
    units = weight.shape[1]
    states = np.empty((ticks + 1, units, rigs), np.float32)
    resets = np.empty((ticks, units, rigs), np.float32)
    updates = np.empty((ticks, units, rigs), np.float32)
    fresh = np.empty((ticks, units, rigs), np.float32)
    kept = np.empty((ticks, units, rigs), np.float32)
    duties = np.empty((ticks, rigs), np.float32)
    states[0] = state
    total, a, h = 0.0, np.empty(rigs, np.float32), np.empty(rigs, np.float32)
    for t in range(ticks):
        for gate in range(3):
            for u in range(units):
                row = gate * units + u
                a[:] = bias_ih[row]
                h[:] = bias_hh[row]
                for i in range(size):
                    w = weight_ih[row, i]
                    for k in range(rigs):
                        a[k] += w * inputs[t, i, k]
                for i in range(units):
                    w = weight_hh[row, i]
                    for k in range(rigs):
                        h[k] += w * states[t, i, k]
                for k in range(rigs):
                    if gate == 0:
                        resets[t, u, k] = np.float32(1) / (1 + math.exp(-(a[k] + h[k])))
                    elif gate == 1:
                        updates[t, u, k] = np.float32(1) / (1 + math.exp(-(a[k] + h[k])))
                    else:
                        kept[t, u, k] = h[k]
                        fresh[t, u, k] = math.tanh(a[k] + resets[t, u, k] * h[k])
        for k in range(rigs):
            a[k] = bias[0]
        for u in range(units):
            for k in range(rigs):
                n = fresh[t, u, k]
                states[t + 1, u, k] = n + updates[t, u, k] * (states[t, u, k] - n)
                a[k] += weight[0, u] * states[t + 1, u, k]
        for k in range(rigs):
            duties[t, k] = math.tanh(a[k])
            total += weights[t, k] * (duties[t, k] - labels[t, k]) ** 2
    back = np.zeros((units, rigs), np.float32)
    before = np.empty((units, rigs), np.float32)
    given = np.empty((3 * units, rigs), np.float32)
    held = np.empty((3 * units, rigs), np.float32)
    for t in range(ticks - 1, -1, -1):
        for k in range(rigs):
            o = duties[t, k]
            a[k] = 2 * weights[t, k] * (o - labels[t, k]) * (1 - o * o)
            g_bias[0] += a[k]
        for u in range(units):
            s = np.float32(0)
            for k in range(rigs):
                s += a[k] * states[t + 1, u, k]
                d = back[u, k] + weight[0, u] * a[k]
                r, z, n = resets[t, u, k], updates[t, u, k], fresh[t, u, k]
                before[u, k] = d * z
                d_n = d * (1 - z) * (1 - n * n)
                d_z = d * (states[t, u, k] - n) * z * (1 - z)
                d_r = d_n * kept[t, u, k] * r * (1 - r)
                given[u, k], given[units + u, k], given[2 * units + u, k] = d_r, d_z, d_n
                held[u, k], held[units + u, k], held[2 * units + u, k] = d_r, d_z, d_n * r
            g_weight[0, u] += s
        for row in range(3 * units):
            s, q = np.float32(0), np.float32(0)
            for k in range(rigs):
                s += given[row, k]
                q += held[row, k]
            g_bias_ih[row] += s
            g_bias_hh[row] += q
            for i in range(size):
                s = np.float32(0)
                for k in range(rigs):
                    s += given[row, k] * inputs[t, i, k]
                g_ih[row, i] += s
            for i in range(units):
                s = np.float32(0)
                w = weight_hh[row, i]
                for k in range(rigs):
                    s += held[row, k] * states[t, i, k]
                    before[i, k] += w * held[row, k]
                g_hh[row, i] += s
        back[:] = before
    state[:] = states[ticks]
    return total
