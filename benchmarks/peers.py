"""Other ways to put the same network on a chip, measured beside ours: a plain C loop, emlearn.

Each writes a folder as `export` does, of the network as it was given: no pass has been over it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sparsectl.policy.convolution import Convolution
from sparsectl.policy.graph import Layer, PolicyGraph
from sparsectl.policy.recurrent import Gru

_HEADER = """\
#ifndef POLICY_H
#define POLICY_H
#define POLICY_OBSERVATION_SIZE {inputs}
#define POLICY_ACTION_SIZE {outputs}
#define POLICY_SIGNALS {inputs}
#define POLICY_FRAMES 1
#define POLICY_PERIOD_US 0
#define POLICY_KEPT_WEIGHTS {weights}
#define POLICY_DIGEST "{digest}"
void policy_act(const float observation[POLICY_OBSERVATION_SIZE], float action[POLICY_ACTION_SIZE]);
#endif
"""

_PLAIN_LAYER = """\
    for (int row = 0; row < {outputs}; row++) {{
        float sum = bias{index}[row];
        for (int column = 0; column < {inputs}; column++) {{
            sum += weight{index}[row * {inputs} + column] * {x}[column];
        }}
        {y}[row] = {activation};
    }}
"""

_PLAIN_CONVOLUTION = """\
    for (int m = 0; m < {channels}; m++) {{
        for (int row = 0; row < {rows}; row++) {{
            for (int column = 0; column < {columns}; column++) {{
                float sum = bias{index}[m];
                for (int i = 0; i < {tall}; i++) {{
                    for (int j = 0; j < {wide}; j++) {{
                        for (int k = 0; k < {depth}; k++) {{
                            sum += weight{index}[((m * {tall} + i) * {wide} + j) * {depth} + k] *
                                   {x}[((row + i) * {width} + column + j) * {depth} + k];
                        }}
                    }}
                }}
                {y}[(row * {columns} + column) * {channels} + m] = {activation};
            }}
        }}
    }}
"""
"""A kernel whose steps are 1, without an edge, over pixels with their channels side by side: no
transposing, no test whether a pixel is inside."""

_PLAIN_ARGMAX = """\
    int best = 0;
    for (int i = 1; i < {outputs}; i++) {{
        best = {x}[i] > {x}[best] ? i : best;
    }}
    action[0] = (float)best;
"""

_PLAIN_ACTIVATIONS = {
    "argmax": "sum",
    "relu": "sum > 0.0f ? sum : 0.0f",
    "tanh": "tanhf(sum)",
    "identity": "sum",
}

_EMLEARN_ACT = """

void policy_act(const float *observation, float *action)
{{
    (void)eml_net_regress(&net, observation, {inputs}, action, {outputs});
}}
"""


def write_plain_c(graph: PolicyGraph, folder: Path) -> None:
    """Two nested loops a layer over every weight, zero or not, and libm's tanhf."""
    widest = max(layer.outputs for layer in graph.layers)
    parts = ['#include "policy.h"\n#include <math.h>\n']
    body = [f"    static float even[{widest}], odd[{widest}];\n"]
    x = "observation"
    for index, layer in enumerate(graph.layers):
        is_action = index == len(graph.layers) - 1 and layer.activation != "argmax"
        y = "action" if is_action else ("odd" if index % 2 else "even")
        parts += [_array(f"weight{index}", layer.weight), _array(f"bias{index}", layer.bias)]
        activation = _PLAIN_ACTIVATIONS[layer.activation]
        form = {"index": index, "x": x, "y": y, "activation": activation}
        if layer.convolution:
            body.append(_PLAIN_CONVOLUTION.format(**form, **_sizes(layer, layer.convolution)))
        else:
            body.append(_PLAIN_LAYER.format(**form, inputs=layer.inputs, outputs=layer.outputs))
        x = y
    if graph.layers[-1].activation == "argmax":
        body.append(_PLAIN_ARGMAX.format(x=x, outputs=graph.layers[-1].outputs))
    parts.append("void policy_act(const float *observation, float *action)\n{\n")
    _write(graph, folder, "".join([*parts, *body, "}\n"]))


_PLAIN_GRU = """\
static float state[{units}];

static float sigmoid(float x)
{{
    return 1.0f / (1.0f + expf(-x));
}}

static void gru(const float *x)
{{
    static float given[3 * {units}], held[3 * {units}];
    for (int row = 0; row < 3 * {units}; row++) {{
        float sum = bias_ih[row], other = bias_hh[row];
        for (int column = 0; column < {inputs}; column++) {{
            sum += weight_ih[row * {inputs} + column] * x[column];
        }}
        for (int column = 0; column < {units}; column++) {{
            other += weight_hh[row * {units} + column] * state[column];
        }}
        given[row] = sum;
        held[row] = other;
    }}
    for (int i = 0; i < {units}; i++) {{
        const float r = sigmoid(given[i] + held[i]);
        const float z = sigmoid(given[{units} + i] + held[{units} + i]);
        const float n = tanhf(given[2 * {units} + i] + r * held[2 * {units} + i]);
        state[i] = (1.0f - z) * n + z * state[i];
    }}
}}

"""


def write_plain_gru(graph: PolicyGraph, blocks: tuple[Layer, Gru, Layer], folder: Path) -> None:
    """A layer, a GRU as torch has it and a layer: loops over every weight, zero or not, expf and
    tanhf of libm; graph: the same, for its sizes."""
    first, cell, last = blocks
    parts = ['#include "policy.h"\n#include <math.h>\n']
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        parts.append(_array(name, np.asarray(getattr(cell, name))))
    for index, layer in enumerate((first, last)):
        parts += [_array(f"weight{index}", layer.weight), _array(f"bias{index}", layer.bias)]
    parts.append(_PLAIN_GRU.format(units=cell.units, inputs=first.outputs))
    parts.append("void policy_act(const float *observation, float *action)\n{\n")
    parts.append(f"    static float encoded[{first.outputs}];\n")
    for index, (layer, x, y) in enumerate(
        ((first, "observation", "encoded"), (last, "state", "action"))
    ):
        activation = _PLAIN_ACTIVATIONS[layer.activation]
        form = {"index": index, "x": x, "y": y, "activation": activation}
        sizes = {"inputs": layer.inputs, "outputs": layer.outputs}
        parts += [] if index == 0 else ["    gru(encoded);\n"]
        parts.append(_PLAIN_LAYER.format(**form, **sizes))
    _write(graph, folder, "".join([*parts, "}\n"]))


def _sizes(layer: Layer, convolution: Convolution) -> dict[str, int]:
    if convolution.strides != (1, 1) or convolution.dilations != (1, 1) or convolution.is_padded:
        raise ValueError("the plain loop takes a kernel whose steps are 1, without an edge")
    rows, columns = convolution.places
    return {
        "channels": len(layer.bias),
        "rows": rows,
        "columns": columns,
        "tall": convolution.kernel[0],
        "wide": convolution.kernel[1],
        "depth": convolution.channels,
        "width": convolution.width,
    }


def write_emlearn(graph: PolicyGraph, folder: Path) -> None:
    """What emlearn generates, with its runtime beside it.

    Raises:
        ModuleNotFoundError: emlearn is not installed (the extra `bench`).
    """
    import emlearn
    from emlearn.net import c_generate_net_loadable

    code = c_generate_net_loadable(
        [layer.activation for layer in graph.layers],
        [layer.weight.T.astype(np.float64) for layer in graph.layers],
        [layer.bias.astype(np.float64) for layer in graph.layers],
        prefix="net",
    )
    last = graph.layers[-1]
    act = _EMLEARN_ACT.format(inputs=graph.layers[0].inputs, outputs=last.outputs)
    _write(graph, folder, '#include "policy.h"\n' + code + act)
    for header in Path(emlearn.__file__).parent.glob("eml_*.h"):
        shutil.copy(header, folder)


PLAIN = "plain C"

PEERS: dict[str, Callable[[PolicyGraph, Path], None]] = {
    PLAIN: write_plain_c,
    "emlearn": write_emlearn,
}


def _array(name: str, values: np.ndarray) -> str:
    numbers = ", ".join(f"{float(value).hex()}f" for value in values.reshape(-1))
    return f"static const float {name}[] = {{{numbers}}};\n"


def _write(graph: PolicyGraph, folder: Path, source: str) -> None:
    folder.mkdir(parents=True)
    header = _HEADER.format(
        inputs=graph.observation_size,
        outputs=graph.action_size,
        weights=sum(layer.weight.size for layer in graph.layers),
        digest=graph.digest,
    )
    (folder / "policy.h").write_text(header)
    (folder / "policy.c").write_text(source)
    (folder / "policy_vectors.h").write_text("/* not needed: the actions are compared outside */\n")
