"""Passes: PolicyGraph in, PolicyGraph out, the same function of the physical observation.

A pass works in float64 and rounds once, so a graph before and after it differ by rounding only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.policy import convolution_passes
from sparsectl.policy.activations.recurrent import CELLS
from sparsectl.policy.dead_neurons import fold_constants
from sparsectl.policy.graph import Layer, PolicyGraph


def simplify(graph: PolicyGraph) -> PolicyGraph:
    """Run all the passes that every export takes, in order."""
    return simplified(graph)[0]


def simplified(graph: PolicyGraph) -> tuple[PolicyGraph, NDArray[np.intp]]:
    """Return what `simplify` gives, and which values of the state are left, ascending."""
    left = np.arange(graph.state_size)
    while True:
        graph, live = eliminate_dead_state(graph)
        left = left[live]
        graph = eliminate_dead_neurons(merge_duplicate_neurons(fold_normaliser(graph)))
        if live_state(graph).all():
            return graph, left


def hidden_neurons(graph: PolicyGraph) -> int:
    return sum(layer.outputs for layer in graph.layers[:-1])


CENTRED_FROM = 8
"""An offset of so many scales is taken off before the weights: folded into a bias it would cost
three of float32's 24 bits or more, and more than the rounding of the file's own order."""
MAX_CENTRED = 1_000
"""Observations at most where a layer takes off their offsets."""


def fold_normaliser(graph: PolicyGraph) -> PolicyGraph:
    """Move the observation's normaliser into layer 0: W (x - o) / s + b = (W/s) x + (b - (W/s) o).

    Offsets of `CENTRED_FROM` scales or more are taken off by a layer of their own, whose weights
    are 1. The observation signals keep their names, units and limits; scale becomes 1, offset 0.

    A convolution takes up what is the same for all pixels of a channel; else there is a layer of
    one number an observation before it.

    Raises:
        UserError: more than `MAX_CENTRED` observations, one of them with such an offset.
    """
    if graph.is_folded:
        return graph
    if graph.state_size:
        return _of_tick(fold_normaliser, graph)
    first = graph.layers[0]
    far = np.abs(graph.observation_offset) >= CENTRED_FROM * np.abs(graph.observation_scale)
    if first.convolution is not None:
        return _fold_before_convolution(graph, bool(far.any()))
    weight = first.weight / graph.observation_scale
    bias = first.bias - weight @ np.where(far, 0.0, graph.observation_offset)
    folded = [replace(first, weight=_float32(weight), bias=_float32(bias))]
    if far.any():
        folded.insert(0, _centring(np.where(far, graph.observation_offset, 0.0)))
    observation = tuple(replace(s, scale=1.0, offset=0.0) for s in graph.observation)
    return replace(graph, layers=(*folded, *graph.layers[1:]), observation=observation)


def _fold_before_convolution(graph: PolicyGraph, is_far: bool) -> PolicyGraph:
    scale, offset = graph.observation_scale, graph.observation_offset
    folded = convolution_passes.folded(graph.layers[0], scale, offset, is_far)
    if folded is None:
        if len(scale) > MAX_CENTRED:
            raise UserError(
                f"{len(scale)} observations, each with a scale or offset of its own before a "
                f"convolution; give at most {MAX_CENTRED}, or one a channel"
            )
        folded = (Layer(_float32(np.diag(1 / scale)), _float32(-offset / scale)), graph.layers[0])
    observation = tuple(replace(s, scale=1.0, offset=0.0) for s in graph.observation)
    return replace(graph, layers=(*folded, *graph.layers[1:]), observation=observation)


def _centring(offset: np.ndarray) -> Layer:
    if len(offset) > MAX_CENTRED:
        raise UserError(
            f"{len(offset)} observations, some with an offset of over {CENTRED_FROM} scales; give "
            f"at most {MAX_CENTRED}, or take the offset off before the policy"
        )
    return Layer(np.eye(len(offset), dtype=np.float32), _float32(-offset))


def merge_duplicate_neurons(graph: PolicyGraph) -> PolicyGraph:
    """Merge hidden neurons with the same weights, bias and activation: the first stays, and the
    weights that read the others are added to those that read it."""
    if graph.state_size:
        return _of_tick(merge_duplicate_neurons, graph)
    layers = list(graph.layers)
    for index in range(len(layers) - 1):
        layer, after = layers[index], layers[index + 1]
        if layer.convolution or after.convolution:
            continue
        rows = np.column_stack([layer.weight, layer.bias, *_kinds(layer)])
        _, firsts, groups = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        if len(firsts) == layer.outputs:
            continue
        place = np.arange(layer.results)  # of the result that each is taken for
        single = layer.result_of >= 0
        place[layer.result_of[single]] = layer.result_of[firsts[groups.reshape(-1)]][single]
        weight = np.zeros(after.weight.shape)
        np.add.at(weight.T, place, after.weight.T.astype(np.float64))
        kept = np.zeros(layer.outputs, bool)
        kept[firsts] = True
        layers[index] = layer.neurons(kept)
        stays = place == np.arange(layer.results)
        layers[index + 1] = replace(after, weight=_float32(weight[:, stays]))
    return replace(graph, layers=tuple(layers))


def _kinds(layer: Layer) -> list[np.ndarray]:
    """Number each neuron by its activation, and uniquely if others' results depend on it; none
    where all neurons are of one kind."""
    if not layer.segments and layer.parts[0].is_elementwise:
        return []
    names = dict.fromkeys((s.activation, s.parameters) for s in layer.parts)
    alike = {name: number for number, name in enumerate(names)}
    kinds = np.concatenate(
        [np.full(s.neurons, alike[s.activation, s.parameters]) for s in layer.parts]
    )
    own = len(alike) + np.arange(layer.outputs)
    return [np.where(layer.result_of >= 0, kinds, own)]


def eliminate_dead_neurons(graph: PolicyGraph) -> PolicyGraph:
    """Fold neurons without inputs into the next biases and drop neurons nobody reads, until none
    is left. A network that turns out constant becomes a single layer without weights."""
    if graph.state_size:
        return _of_tick(eliminate_dead_neurons, graph)
    layers = list(graph.layers)
    while True:
        before = [layer.weight.shape for layer in layers]
        layers = _drop_unused(fold_constants(layers), graph.observation_size)
        if [layer.weight.shape for layer in layers] == before:
            return replace(graph, layers=tuple(layers))


def live_state(graph: PolicyGraph) -> NDArray[np.bool_]:
    """[state_size]: the values of the state that an action depends on, in this tick or in a later
    one; all of them if those that do not cannot be distinguished from the others."""
    observed, acted = graph.observation_size, graph.action_size
    if not graph.state_size or graph.layers[0].convolution:
        return np.ones(graph.state_size, bool)
    reaches = np.eye(observed + graph.state_size, dtype=bool)[:, observed:]  # of each value: state
    for layer in graph.layers:
        reaches = _dependence(layer, reaches)
    live: NDArray[np.bool_] = np.any(reaches[:acted], axis=0)
    while True:
        further: NDArray[np.bool_] = np.logical_or(live, np.any(reaches[acted:][live], axis=0))
        if np.array_equal(further, live):
            break
        live = further
    results = _read(graph.layers[-1], _given(graph, live), divides=True)[1]
    return live if np.array_equal(results, _given(graph, live)) else np.ones_like(live)


def eliminate_dead_state(graph: PolicyGraph) -> tuple[PolicyGraph, NDArray[np.bool_]]:
    """The graph without the values of the state that are not live, and `live_state`."""
    live = live_state(graph)
    if live.all():
        return graph, live
    first, *others = graph.layers
    taken = np.concatenate([np.ones(graph.observation_size, bool), live])
    layers = [replace(first, weight=first.weight[:, taken]), *others]
    layers[-1] = layers[-1].neurons(_read(layers[-1], _given(graph, live), divides=True)[0])
    state = np.array(graph.reset_state)[live]
    return replace(graph, layers=tuple(layers), reset_state=tuple(state.tolist())), live


def _given(graph: PolicyGraph, live: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of the last layer's results are read: the actions and the live state."""
    return np.concatenate([np.ones(graph.action_size, bool), live])


def _dependence(layer: Layer, reaches: np.ndarray) -> np.ndarray:
    """Return for each of a layer's results what it depends on, [values, state], where its inputs
    depend on `reaches`."""
    sums = (layer.matrix() != 0) @ reaches.astype(np.int64) > 0
    found, start = [], 0
    for segment in layer.parts:
        own = sums[start : start + segment.neurons]
        start += segment.neurons
        if segment.is_elementwise:
            found.append(own)
        elif segment.operands > 1:
            found.append(own.reshape(segment.operands, segment.results, -1).any(axis=0))
        else:
            found.append(np.repeat(own.any(axis=0)[None], segment.results, axis=0))
    return np.concatenate(found)


def _of_tick(change: Callable[[PolicyGraph], PolicyGraph], graph: PolicyGraph) -> PolicyGraph:
    """Run a pass on a recurrent policy by running it on the policy's tick."""
    tick = change(graph.step_graph)
    frame = tick.observation[: len(graph.observation)]
    return replace(graph, layers=tick.layers, observation=frame)


def _drop_unused(layers: list[Layer], observation_size: int) -> list[Layer]:
    kept = [layers[-1]]
    for layer in reversed(layers[:-1]):
        after = kept[0]
        if layer.convolution or after.convolution:
            layer, kept[0] = convolution_passes.without_unused_channels(layer, after)
            kept.insert(0, layer)
            continue
        used = np.any(after.weight, axis=0)
        if not used.any():  # nothing reaches the rest: it is a constant of no input
            weight = np.zeros((after.outputs, observation_size), np.float32)
            return [replace(after, weight=weight), *kept[1:]]
        neurons, results = _read(layer, used)
        kept[0] = replace(after, weight=after.weight[:, results])
        kept.insert(0, layer.neurons(neurons))
    return kept


def _read(layer: Layer, used: np.ndarray, divides: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return which neurons and results stay if only the results `used` are read. Results that
    depend on several neurons stay all or none, except those of recurrent units, each of which has
    operands of its own, and, where it `divides`, those of every activation with several
    operands."""
    neurons, results, start = [], [], 0
    for segment in layer.parts:
        own = used[start : start + segment.results]
        each = segment.operands if divides or segment.activation in CELLS else 1
        if not segment.is_elementwise and each == 1:
            own = np.full(segment.results, own.any())
        results.append(own)
        whole = not segment.is_elementwise and each == 1
        neurons.append(np.full(segment.neurons, own.any()) if whole else np.tile(own, each))
        start += segment.results
    return np.concatenate(neurons), np.concatenate(results)


def _float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float32)
