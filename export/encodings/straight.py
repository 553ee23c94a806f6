"""straight: the network is written out, with the weights in the instruction stream. It is the
fastest code."""

from __future__ import annotations

from functools import partial

from sparsectl.common.errors import UserError
from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly import cortex_m4f, cortex_m4f_straight
from sparsectl.export.encodings.encoding import Code, EncodedPolicy, Kind
from sparsectl.export.encodings.float_layers import (
    action_lines,
    activation_bits,
    activation_call,
    activation_functions,
    limit_functions,
)
from sparsectl.export.encodings.unit_weights import with_unit_weights
from sparsectl.policy.activations import Float32, FloatLiteral, c_functions
from sparsectl.policy.graph import Layer, PolicyGraph

MAX_WEIGHTS = 20_000
"""About 240 KB of code; a stream or a dense encoding is smaller and, by then, no slower."""

APART = """\
/* A layer stays a function of its own: in one function for all of them a compiler would keep
 * hundreds of values at a time, most of them on the stack. */
#if defined(__GNUC__)
#define APART __attribute__((noinline))
#else
#define APART
#endif
"""


class StraightFloat32:
    name = "straight-float32"
    summary = "float32 weights as constants in code without loops; on Cortex-M4F in assembly"
    kind: Kind = "float32"
    cores: frozenset[str] | None = None

    def encode(self, graph: PolicyGraph, observations: Float32) -> EncodedPolicy:
        check_size(self.name, graph)
        scaled = with_unit_weights(graph, [1.0, *[2.0] * (len(graph.layers) - 2)])
        has_assembly = cortex_m4f_straight.serves(scaled)
        last = graph.layers[-1]

        def write(style: CStyle) -> Code:
            body = (
                "float hidden[HIDDEN];",
                f"float sums[{last.outputs}];",
                "",
                f"{style.name('sums')}(observation, hidden, sums);",
                *activation_call(last, "sums", style.literal),
                *action_lines(graph, "sums", style.literal),
            )
            functions = _functions(scaled, has_assembly, style)
            return Code(functions, body, activation_bits(scaled.layers))

        assembly = partial(cortex_m4f_straight.assembly, scaled) if has_assembly else None
        return EncodedPolicy(self, graph, (), write, scaled.forward, assembly)


def check_size(name: str, graph: PolicyGraph) -> None:
    """Check that the graph has few enough weights for code without loops."""
    if graph.kept_weights > MAX_WEIGHTS:
        raise UserError(
            f"encoding {name!r} writes each weight out as code, for at most {MAX_WEIGHTS} weights, "
            f"not {graph.kept_weights}; choose a dense, csr or packed one"
        )


def _functions(graph: PolicyGraph, has_assembly: bool, style: CStyle) -> str:
    """Return the C of the last layer's activations, of the limits, and of the sums in both
    forms."""
    c_form = _c_form(graph, style)
    if has_assembly:
        c_form = (
            f"#if {style.render(cortex_m4f.CONDITION)}\n"
            f"#define HIDDEN {cortex_m4f_straight.hidden_size(graph)}\n\n"
            f"/* The last layer's sums; written out in {style.prefix}.S. */\n"
            f"void {style.name('sums')}(const float *observation, float *hidden, float *sums);\n"
            f"#else\n{c_form}#endif\n"
        )
    functions = activation_functions(graph.layers[-1:], style.literal)
    return "\n".join([*functions, c_form, *limit_functions(graph)])


def _c_form(graph: PolicyGraph, style: CStyle) -> str:
    """Return one function per layer, and the `policy_sums` that calls them."""
    literal = style.literal
    *hidden, last = graph.layers
    names = [layer.activation for layer in hidden]
    written = activation_functions([last], literal)
    inline = c_functions(["relu"], loops=False) if "relu" in names else []
    looped = [layer for layer in hidden if layer.activation != "relu"]
    loops = activation_functions(looped, literal)
    activations = [text for text in dict.fromkeys([*inline, *loops]) if text not in written]
    with_relu = [layer.activation == "relu" for layer in hidden] + [False]
    functions = [_layer(i, la, with_relu[i], literal) for i, la in enumerate(graph.layers)]
    sums = _sums(graph, style)
    return "\n".join(
        [f"#define HIDDEN {_hidden_size(graph)}\n", APART, *activations, *functions, sums]
    )


def _layer(index: int, layer: Layer, with_relu: bool, literal: FloatLiteral) -> str:
    """Return the C of one neuron after another: the bias, then the inputs that it has, in ascending
    order of columns."""
    lines = ["float sum;", ""]
    if not layer.kept_weights:
        lines = [*lines, "(void)x;"]
    for row in range(layer.outputs):
        lines.append(f"sum = {literal(layer.bias[row])};")
        weight = layer.weight[row]
        lines += [_product(float(weight[j]), j, literal) for j in weight.nonzero()[0]]
        lines.append(f"y[{row}] = {'relu_of(sum)' if with_relu else 'sum'};")
    return f"static APART void layer{index}(const float *x, float *y)\n{braces(lines)}"


def _product(weight: float, column: int, literal: FloatLiteral) -> str:
    if abs(weight) == 1:
        return f"sum {'+' if weight > 0 else '-'}= x[{column}];"
    return f"sum += {literal(weight)} * x[{column}];"


def _sums(graph: PolicyGraph, style: CStyle) -> str:
    """Return the C of `policy_sums`: layers alternate between two parts of `hidden`."""
    odd = max([1, *(layer.outputs for layer in graph.layers[:-1][0::2])])
    lines, x = [], "observation"
    if len(graph.layers) == 1:
        lines.append("(void)hidden;")
    for index, layer in enumerate(graph.layers):
        last = index == len(graph.layers) - 1
        y = "sums" if last else (f"hidden + {odd}" if index % 2 else "hidden")
        lines.append(f"layer{index}({x}, {y});")
        if not last and layer.activation != "relu":
            lines += activation_call(layer, y, style.literal)
        x = y
    head = f"static void {style.name('sums')}(const float *observation, float *hidden, float *sums)"
    return f"{head}\n{braces(lines)}"


def _hidden_size(graph: PolicyGraph) -> int:
    widths = [layer.outputs for layer in graph.layers[:-1]]
    return max([1, *widths[0::2]]) + max(widths[1::2], default=0)


def braces(lines: list[str]) -> str:
    body = "".join(f"    {line}".rstrip() + "\n" for line in lines)
    return f"{{\n{body}}}\n"
