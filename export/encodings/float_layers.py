"""Write policy_act for the encodings that compute one layer after another in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.encoding import Code, EncodedPolicy, Encoding
from sparsectl.export.encodings.places import (
    at_one_place,
    described,
    function_name,
    places_loop,
)
from sparsectl.export.encodings.table import Table
from sparsectl.policy.activations import FloatLiteral, c_bits, c_call, c_functions
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.graph import Layer, PolicyGraph, Signal

RANGES = {"tanh": (-1.0, 1.0)}
"""The range of an activation's values for any input; limits beyond it have no effect."""

_AT_LEAST = """\
static float at_least(float x, float low)
{
    return x < low ? low : x;
}
"""

_AT_MOST = """\
static float at_most(float x, float high)
{
    return x > high ? high : x;
}
"""


@dataclass(frozen=True)
class FloatLayer:
    """A layer's tables and the statements that compute it.

    `calls` are C with the places {x} and {y} for the layer's input and output arrays; they leave
    the sums before the activation in {y}.
    """

    tables: tuple[Table, ...]
    calls: tuple[str, ...]
    functions: str = ""
    """C that the calls need beside the encoding's own."""


def float_layer(index: int, layer: Layer, encode: Callable[[int, Layer], FloatLayer]) -> FloatLayer:
    """Return the layer in an encoding whose `encode` takes layers of weights; a convolution calls
    that code at each of its places."""
    encoded = encode(index, at_one_place(layer))
    if layer.convolution is None:
        return encoded
    return replace(
        encoded,
        calls=(f"{function_name(index)}({{x}}, {{y}});",),
        functions=_at_places(index, layer, layer.convolution, encoded.calls),
    )


def _at_places(index: int, layer: Layer, convolution: Convolution, calls: Sequence[str]) -> str:
    work = [call.format(x="patch", y="y") for call in calls]
    loop = places_loop(
        convolution,
        "float *p = patch;",
        lambda value: [f"*p++ = {value};"],
        [*work, f"y += {len(layer.bias)};"],
    )
    lines = [f"float patch[{convolution.patch_size}];", "", *loop]
    body = "".join(f"    {line}".rstrip() + "\n" for line in lines)
    head = f"static void {function_name(index)}(const float *x, float *y)"
    return f"{described(layer, convolution)}{head}\n{{\n{body}}}\n"


def float_policy(
    encoding: Encoding,
    graph: PolicyGraph,
    layers: Sequence[FloatLayer],
    runtime: Callable[[CStyle], str],
    computed: PolicyGraph | None = None,
    runtime_bits: frozenset[str] = frozenset(),
) -> EncodedPolicy:
    """Return the whole policy in an encoding. `runtime` is the C that the calls of the layers need,
    `runtime_bits` names those of bits_of and float_of that it calls, and `computed` is the graph
    with its weights as stored, if they differ."""

    def write(style: CStyle) -> Code:
        literal = style.literal
        activations = activation_functions(graph.layers, literal)
        own = [layer.functions for layer in layers if layer.functions]
        functions = "\n".join([runtime(style), *own, *activations, *limit_functions(graph)])
        bits = runtime_bits | activation_bits(graph.layers)
        return Code(functions, float_body(graph, layers, literal), bits)

    tables = tuple(table for layer in layers for table in layer.tables)
    return EncodedPolicy(encoding, graph, tables, write, (computed or graph).forward)


def float_body(
    graph: PolicyGraph, layers: Sequence[FloatLayer], literal: FloatLiteral
) -> tuple[str, ...]:
    """Return the body of policy_act: layers alternate between two arrays on the stack."""
    widths = [layer.outputs for layer in graph.layers]
    lines = [f"float even[{max(widths[0::2])}];"]
    lines += [f"float odd[{max(widths[1::2])}];"] if widths[1:] else []
    lines.append("")
    x = "observation"
    for index, (layer, encoded) in enumerate(zip(graph.layers, layers, strict=True)):
        y = "odd" if index % 2 else "even"
        lines += [call.format(x=x, y=y) for call in encoded.calls]
        lines += activation_call(layer, y, literal)
        x = y
    return (*lines, *action_lines(graph, x, literal))


_MOVE_DOWN = """\
/* Results follow one another, where an activation gives fewer than it takes. */
static void move_down(float *to, const float *from, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        to[i] = from[i];
    }
}
"""


def activation_call(layer: Layer, array: str, literal: FloatLiteral) -> list[str]:
    """Return the statements that apply a layer's activations to `array` in place."""
    lines, start, results = [], 0, 0
    for segment in layer.parts:
        place = f"{array} + {start}" if start else array
        parameters, neurons = segment.parameters, segment.neurons
        call = c_call(segment.activation, parameters, place, neurons, literal)
        lines += [call] if call else []
        if results != start:
            lines.append(f"move_down({array} + {results}, {place}, {segment.results});")
        start += segment.neurons
        results += segment.results
    return lines


def activation_functions(layers: Iterable[Layer], literal: FloatLiteral) -> list[str]:
    """Return the C that the activations of these layers need, each function once."""
    kept = list(layers)
    moved = any(segment.results != segment.neurons for la in kept for segment in la.parts[:-1])
    names = (name for layer in kept for name in layer.activations)
    functions = c_functions(names, literal=literal)
    return functions + ([_MOVE_DOWN] if moved else [])


def activation_bits(layers: Iterable[Layer]) -> frozenset[str]:
    """Return which of bits_of and float_of the `activation_functions` of these layers call."""
    return c_bits(name for layer in layers for name in layer.activations)


def limit_functions(graph: PolicyGraph) -> list[str]:
    """Return the C that `action_lines` needs."""
    lows, highs = zip(*(_limits(graph, signal) for signal in graph.action), strict=True)
    functions = [_AT_LEAST] if any(low is not None for low in lows) else []
    return functions + ([_AT_MOST] if any(high is not None for high in highs) else [])


def action_lines(graph: PolicyGraph, values: str, literal: FloatLiteral) -> list[str]:
    """Return the statements of action = clip(scale * values + offset, low, high), without steps
    that change nothing."""
    return [
        _action(graph, signal, i, f"{values}[{i}]", literal)
        for i, signal in enumerate(graph.action)
    ]


def _action(
    graph: PolicyGraph, signal: Signal, index: int, value: str, literal: FloatLiteral
) -> str:
    low, high = _limits(graph, signal)
    if signal.scale != 1:
        value = f"{value} * {literal(signal.scale)}"
    if signal.offset != 0:
        value = f"{value} + {literal(signal.offset)}"
    if low is not None:
        value = f"at_least({value}, {literal(low)})"
    if high is not None:
        value = f"at_most({value}, {literal(high)})"
    return f"action[{index}] = {value};"


def _limits(graph: PolicyGraph, signal: Signal) -> tuple[float | None, float | None]:
    """Return the limits that can bind."""
    bounds = RANGES.get(graph.layers[-1].activation)
    if bounds is None or signal.scale != 1 or signal.offset != 0:
        return signal.low, signal.high
    low = None if signal.low is not None and signal.low <= bounds[0] else signal.low
    high = None if signal.high is not None and signal.high >= bounds[1] else signal.high
    return low, high
