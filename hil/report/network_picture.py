"""Draw the pruned network: which inputs feed which neurons, and how strongly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np
from numpy.typing import NDArray

from sparsectl.policy.graph import Layer, PolicyGraph, Segment

WIDTH = 960
INPUT_X, FIRST_X, LAST_X = 196, 200, 852
ROW = 17
GROUP_GAP = 12
ARGMAX = "argmax"
MOST_EDGES = 3000
"""The most edges that are drawn, the strongest; a dense teacher has twenty times as many."""


@dataclass(frozen=True)
class InputUse:
    """Numbers of weights that read each input: rows are signals, columns frames, oldest first."""

    signals: list[str]
    frames: list[str]
    counts: list[list[int]]


@dataclass(frozen=True)
class NetworkPicture:
    """SVG of the network, with a caption and figures."""

    svg: str
    caption: str
    use: InputUse


def draw_network(graph: PolicyGraph, reached: Sequence[float] | None = None) -> NetworkPicture:
    """Draw the neurons that are on a path from an input to the output.

    For a recurrent policy, one tick is drawn, with the state among the inputs and the next state
    among the outputs.

    Args:
        graph: the policy.
        reached: how large each signal of a frame becomes, in its unit. A weight on metres and one
            on rad/s compare only through it; by default the signals' own scales and limits.
    """
    if graph.state_size:
        frames = list(reached or _nominal_sizes(graph)) * graph.frames
        picture = draw_network(graph.step_graph, [*frames, *[1.0] * graph.state_size])
        words = f"{picture.caption} The outputs called state are the next tick's inputs."
        return replace(picture, caption=words)
    sizes = np.tile(reached or _nominal_sizes(graph), graph.frames)
    alive = live_neurons(graph)
    height = max(_inputs_height(graph), max(10 * int(np.sum(a)) for a in alive[1:]), 220)
    height = min(height, 1100) + 40
    places = [_input_places(graph, height)] + [
        _neuron_places(alive[index + 1], index + 1, len(graph.layers), height)
        for index in range(len(graph.layers))
    ]
    edges, drawn, whole = _edges(graph, alive, places, sizes)
    body = edges + _input_labels(graph, alive[0], places[0]) + _neurons(graph, alive, places)
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="The network, drawn">'
        f"{body}{_column_words(graph, alive, height)}</svg>"
    )
    return NetworkPicture(svg, _caption(graph, drawn, whole), input_use(graph))


def live_neurons(graph: PolicyGraph) -> list[NDArray[np.bool_]]:
    """Return, for the inputs and each layer, which of them have a path of weights from an input to
    an output."""
    drawn = _drawn(graph)
    forward = [np.ones(graph.observation_size, dtype=np.bool_)]
    for weights in drawn:
        forward.append(np.any((weights != 0) & forward[-1][None, :], axis=1))
    alive = [np.ones(len(drawn[-1]), dtype=np.bool_)]
    for index in range(len(graph.layers) - 1, -1, -1):
        reached = np.any((drawn[index] != 0) & alive[0][:, None], axis=0)
        alive.insert(0, reached & forward[index])
    return alive


def _drawn(graph: PolicyGraph) -> list[NDArray[np.float32]]:
    """Return the weights of each layer, [neurons drawn, inputs]. The last layer of a policy whose
    action is the choice with the greatest value has a neuron per choice."""
    return [*map(_weights, graph.layers[:-1]), _weights(graph.layers[-1], each_choice=True)]


def _weights(layer: Layer, each_choice: bool = False) -> NDArray[np.float32]:
    """Return [results, inputs]: a neuron is drawn for each result, with all weights that lead to
    it."""
    if layer.results == layer.outputs and not layer.segments:
        return layer.matrix()
    drawn, start = [], 0
    for segment in layer.parts:
        rows = layer.weight[start : start + segment.neurons]
        runs = rows.reshape(-1, segment.results, layer.inputs)
        is_whole = segment.is_elementwise or (each_choice and segment.activation == ARGMAX)
        drawn.append(rows if is_whole else np.abs(runs).sum(axis=0))
        start += segment.neurons
    return np.concatenate(drawn)


def input_use(graph: PolicyGraph) -> InputUse:
    """Count the first layer's weights per signal and frame."""
    reads = np.count_nonzero(graph.layers[0].matrix(), axis=0)
    counts = reads.reshape(graph.frames, len(graph.observation)).T
    return InputUse(
        [signal.name.replace("_", " ") for signal in graph.observation],
        [_frame_word(graph, frame) for frame in range(graph.frames)],
        [[int(count) for count in row] for row in counts],
    )


def _frame_word(graph: PolicyGraph, frame: int) -> str:
    """Describe a frame's age; the newest is the last."""
    age = graph.frames - 1 - frame
    if age == 0:
        return "now"
    return f"−{age * graph.period_s * 1e3:g} ms" if graph.period_s else f"−{age}"


def _inputs_height(graph: PolicyGraph) -> int:
    return ROW * graph.observation_size + GROUP_GAP * (len(graph.observation) - 1)


def _input_places(graph: PolicyGraph, height: int) -> NDArray[np.float64]:
    """Return [observation_size, 2]: places grouped by signal, the newest frame on top of each
    group."""
    signals, frames = len(graph.observation), graph.frames
    top = (height - 40 - _inputs_height(graph)) / 2 + 30
    scale = 1.0
    if top < 30:  # more inputs than the picture is high
        scale, top = (height - 50) / _inputs_height(graph), 30.0
    places = np.zeros((frames * signals, 2))
    for signal in range(signals):
        for age in range(frames):
            row = (signal * frames + age) * ROW + signal * GROUP_GAP
            places[(frames - 1 - age) * signals + signal] = INPUT_X, top + (row + ROW / 2) * scale
    return places


def _neuron_places(
    alive: NDArray[np.bool_], column: int, columns: int, height: int
) -> NDArray[np.float64]:
    x = FIRST_X + (LAST_X - FIRST_X) * column / columns
    places = np.full((alive.size, 2), np.nan)
    count = int(np.sum(alive))
    ys = 30 + (np.arange(count) + 0.5) * (height - 40) / max(count, 1)
    places[alive] = np.column_stack([np.full(count, x), ys])
    return places


def _nominal_sizes(graph: PolicyGraph) -> list[float]:
    """Return each signal's scale, or its upper limit if the scale has been folded into the
    weights."""
    return [
        abs(signal.scale) if signal.scale != 1.0 else abs(signal.high or 1.0)
        for signal in graph.observation
    ]


def _edges(
    graph: PolicyGraph,
    alive: list[NDArray[np.bool_]],
    places: list[NDArray[np.float64]],
    sizes: NDArray[np.float64],
) -> tuple[str, int, int]:
    """Draw the weights as lines, thick where the weight is large in its layer; the weakest come
    first, below the others."""
    found: list[tuple[float, int, int, int]] = []
    drawn = _drawn(graph)
    for index, weights in enumerate(drawn):
        strengths = np.abs(weights) * (sizes[None, :] if index == 0 else 1.0)
        strengths = strengths / max(float(np.max(strengths)), 1e-30)
        strengths = strengths * alive[index][None, :] * alive[index + 1][:, None]
        for row, column in np.argwhere(strengths > 0):
            found.append((float(strengths[row, column]), index, int(row), int(column)))
    found.sort()
    shown = found[-MOST_EDGES:]
    parts = []
    for strength, index, row, column in shown:
        (x1, y1), (x2, y2) = places[index][column], places[index + 1][row]
        middle = (x1 + x2) / 2
        sign = "p" if drawn[index][row, column] > 0 else "n"
        curve = f"C{middle:.0f} {y1:.1f} {middle:.0f} {y2:.1f} {x2:.0f} {y2:.1f}"
        parts.append(
            f'<path class="{sign}" stroke-width="{0.35 + 3.2 * strength**1.3:.2f}" '
            f'opacity="{0.22 + 0.7 * strength:.2f}" d="M{x1:.0f} {y1:.1f}{curve}"/>'
        )
    return f'<g class="edges">{"".join(parts)}</g>', len(shown), len(found)


def _input_labels(graph: PolicyGraph, alive: NDArray[np.bool_], places: NDArray[np.float64]) -> str:
    signals, frames = len(graph.observation), graph.frames
    parts = []
    for signal, description in enumerate(graph.observation):
        rows = places[signal::signals, 1]
        name = escape(description.name.replace("_", " "))
        words = name.rsplit(" ", 1) if len(name) > 16 else [name]
        middle = float(np.mean(rows)) - 7 * (len(words) - 1)
        for number, word in enumerate(words):
            parts.append(
                f'<text class="signal" x="8" y="{middle + 4 + 14 * number:.1f}">{word}</text>'
            )
        for frame in range(frames):
            x, y = places[frame * signals + signal]
            used = alive[frame * signals + signal]
            parts.append(
                f'<text class="{"frame" if used else "frame unused"}" x="{x - 8:.0f}" '
                f'y="{y + 3.5:.1f}">{_frame_word(graph, frame)}</text>'
            )
    return "".join(parts)


def _neurons(
    graph: PolicyGraph, alive: list[NDArray[np.bool_]], places: list[NDArray[np.float64]]
) -> str:
    parts = []
    for column, (live, where) in enumerate(zip(alive, places, strict=True)):
        crowded = int(np.sum(live)) > 60
        for index in range(live.size):
            if not live[index] and column > 0:
                continue
            x, y = where[index]
            kind = "input" if column == 0 else "neuron"
            radius = 2.2 if crowded else 3.4
            parts.append(
                f'<circle class="{kind}{"" if live[index] else " unused"}" '
                f'cx="{x:.0f}" cy="{y:.1f}" r="{radius}"/>'
            )
    for index, name in enumerate(_outcomes(graph)):
        if alive[-1][index]:
            x, y = places[-1][index]
            for number, word in enumerate(escape(name).split("_")):
                below = y + 4 + 14 * number
                parts.append(f'<text class="signal" x="{x + 12:.0f}" y="{below:.1f}">{word}</text>')
    return "".join(parts)


def _outcomes(graph: PolicyGraph) -> list[str]:
    """Return a name for each neuron of the last layer that is drawn: the action's, or the meaning
    of the choice."""
    names: list[str] = []
    for signal, segment in zip(graph.action, _of_actions(graph), strict=True):
        if segment is None:
            names.append(signal.name)
            continue
        first = round(signal.offset)
        numbers = [str(first + index) for index in range(segment.neurons)]
        levels = [f"{level:g}" for level in signal.levels]
        of = f"{signal.name} " if len(graph.action) > 1 else ""
        known = levels if len(levels) == segment.neurons else numbers
        names += [f"{of}{each}" for each in known]
    return names


def _of_actions(graph: PolicyGraph) -> list[Segment | None]:
    """Return for each action the segment that it is the choice of; None: it is a real number."""
    last = graph.layers[-1]
    found: list[Segment | None] = []
    for segment in last.parts:
        own = segment if segment.activation == ARGMAX and segment.results == 1 else None
        found += [own] * segment.results
    return found[: len(graph.action)]


def _column_words(graph: PolicyGraph, alive: list[NDArray[np.bool_]], height: int) -> str:
    parts = []
    for column, live in enumerate(alive):
        x = INPUT_X if column == 0 else FIRST_X + (LAST_X - FIRST_X) * column / len(graph.layers)
        what = "inputs" if column == 0 else graph.layers[column - 1].activation
        if column == len(graph.layers) and all(_of_actions(graph)):
            what = "choices, the greatest counts"
        count = int(np.sum(live))
        parts.append(f'<text class="column" x="{x:.0f}" y="14">{count} {what}</text>')
    return "".join(parts)


def _caption(graph: PolicyGraph, drawn: int, whole: int) -> str:
    possible = sum(layer.weight.size for layer in graph.layers)
    once = " (of a convolution once for all places)" if graph.has_convolutions else ""
    text = f"{graph.kept_weights:,} weights in {possible:,} places{once}"
    idle = graph.kept_weights - whole
    if idle:
        text += f", {idle} of them with no path from an input to the output (not drawn)"
    if drawn < whole:
        text += f"; the {drawn:,} strongest are drawn"
    return (
        f"{text}. Blue adds, orange subtracts; thicker is stronger within its layer, an input's "
        "weight times the size that its signal reaches."
    )
