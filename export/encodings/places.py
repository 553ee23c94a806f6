"""Write a convolution in C: the code that an encoding has for a layer of weights is called at each
place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sparsectl.policy.convolution import Convolution
from sparsectl.policy.graph import Layer

Take = Callable[[str], list[str]]
"""The statements that take a value, an expression, into the patch."""


def at_one_place(layer: Layer) -> Layer:
    """Return the layer of weights from a patch to the output channels; a layer that is not a
    convolution is returned as it is."""
    return replace(layer, convolution=None) if layer.convolution else layer


def function_name(index: int) -> str:
    return f"layer{index}_places"


def described(layer: Layer, convolution: Convolution) -> str:
    """Return a comment for the function that goes through the places."""
    rows, columns = convolution.places
    tall, wide = convolution.kernel
    kernel = f"{tall} x {wide} pixels of {convolution.channels} values"
    edge = "; 0 beyond the edge" if convolution.is_padded else ""
    channels = len(layer.bias)
    return f"/* {channels} channels of {kernel}\n * at {rows} x {columns} places{edge}. */\n"


def places_loop(
    convolution: Convolution, before: str, take: Take, work: Sequence[str], zero: str = "0.0f"
) -> list[str]:
    """Return the statements that go through the places. At each of them, after `before`, the patch
    of `x` is taken value by value, and then `work` is done. `i` to `k` count the pixels and
    channels under the kernel; beyond the edge it reads `zero`."""
    rows, columns = convolution.places
    inner = [before, *_gather(convolution, take, zero), *work]
    return [
        f"for (int row = 0; row < {rows}; row++) {{",
        f"    for (int column = 0; column < {columns}; column++) {{",
        *(f"        {line}" for line in inner),
        "    }",
        "}",
    ]


def _gather(convolution: Convolution, take: Take, zero: str) -> list[str]:
    tall, wide = convolution.kernel
    row = _position("row", convolution.strides[0], "i", convolution.dilations[0], tall)
    column = _position("column", convolution.strides[1], "j", convolution.dilations[1], wide)
    row, column = (
        f"{each} - {pad}" if pad else each
        for each, pad in zip((row, column), convolution.pads, strict=False)
    )
    runs = not convolution.is_padded and not convolution.channels_first
    if runs and convolution.dilations[1] == 1:  # the pixels of a row follow one another
        start = _position("column", convolution.strides[1], "", 0, 1)
        values = wide * convolution.channels
        return [
            f"for (int i = 0; i < {tall}; i++) {{",
            f"    const int from = {_place(convolution, row, start)};",
            f"    for (int k = 0; k < {values}; k++) {{",
            *(f"        {line}" for line in take("x[from + k]")),
            "    }",
            "}",
        ]
    if convolution.channels_first:
        pixels = convolution.height * convolution.width
        value = f"x[{pixels} * k + {convolution.width} * r + c]"
    else:
        value = f"x[{_place(convolution, 'r', 'c')} + k]"
    if convolution.is_padded:
        value = f"inside ? {value} : {zero}"
    inside = f"r >= 0 && r < {convolution.height} && c >= 0 && c < {convolution.width}"
    return [
        f"for (int i = 0; i < {tall}; i++) {{",
        f"    const int r = {row};",
        f"    for (int j = 0; j < {wide}; j++) {{",
        f"        const int c = {column};",
        *([f"        const int inside = {inside};"] if convolution.is_padded else []),
        f"        for (int k = 0; k < {convolution.channels}; k++) {{",
        *(f"            {line}" for line in take(value)),
        "        }",
        "    }",
        "}",
    ]


def _position(place: str, stride: int, under: str, dilation: int, size: int) -> str:
    """Return stride * place + dilation * under as C, without factors of 1 and terms that are always
    0."""
    found = place if stride == 1 else f"{stride} * {place}"
    if size == 1:
        return found
    return f"{found} + {under}" if dilation == 1 else f"{found} + {dilation} * {under}"


def _place(convolution: Convolution, row: str, column: str) -> str:
    row = f"({row})" if " " in row else row
    pixel = f"{convolution.width} * {row} + {column}" if convolution.height > 1 else column
    return f"{convolution.channels} * ({pixel})"
