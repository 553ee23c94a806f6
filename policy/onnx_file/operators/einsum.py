"""Einsum: sums of products that an equation names, taken as products of matrices."""

from __future__ import annotations

import math
import re
from string import ascii_letters

import numpy as np

from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.layers import product
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.symbol import Symbol
from sparsectl.policy.onnx_file.tensors import Array

Named = tuple[str, Symbol | Array]
"""A letter for each dimension of a value, and the value."""


@operator("Einsum")
def einsum(node: Node) -> Result:
    named, output = _letters(node)
    while len(named) > 2:
        a, b, *rest = named
        kept = {*output}.union(*(letters for letters, _ in rest))
        joint = "".join(letter for letter in dict.fromkeys(a[0] + b[0]) if letter in kept)
        named = [(joint, _pair(node, a, b, joint)), *rest]
    return _pair(node, named[0], named[1] if named[1:] else ("", np.ones(())), output)


def _letters(node: Node) -> tuple[list[Named], str]:
    """Return the inputs with the letters of their dimensions, and the output's letters; what an
    ellipsis stands for has letters of its own."""
    equation = node.text("equation", "").replace(" ", "")
    left, arrow, output = equation.partition("->")
    if not arrow:
        once = sorted(letter for letter in left if letter.isalpha() and left.count(letter) == 1)
        output = ("..." if "..." in left else "") + "".join(once)
    free = "".join(letter for letter in ascii_letters if letter not in equation)
    named: list[Named] = []
    most, terms = "", left.split(",")
    form = re.compile(r"[A-Za-z]*(\.{3})?[A-Za-z]*")
    fits = len(terms) == len(node.inputs) and all(map(form.fullmatch, [*terms, output]))
    for term, value in zip(terms, node.inputs, strict=False):
        own = -1 if value is None else value.ndim - len(term.replace("...", ""))
        if value is None or not 0 <= own <= len(free) or (own and "..." not in term):
            fits = False
            break
        most = max(most, free[len(free) - own :], key=len)
        letters = term.replace("...", free[len(free) - own :])
        if len({*letters}) < len(letters):
            node.refuse(f"its equation {equation[:60]!r} takes a diagonal")
        named.append((letters, value))
    output = output.replace("...", most)
    if not fits or not {*output} <= {*"".join(letters for letters, _ in named)}:
        node.refuse(f"its equation {equation[:60]!r} does not fit its inputs")
    return named, output


def _pair(node: Node, one: Named, other: Named, output: str) -> Symbol | Array:
    """Return the sums over all letters that are not in `output` of the products of two values."""
    batch = _batch(node, one, other, output)
    a, first = _summed(node, one, other[0] + output)
    b, second = _summed(node, other, a + output)
    both = [letter for letter in a if letter in b]
    stack, shared = ([s for s in both if (s in output) == is_in] for is_in in (True, False))
    rows, columns = ([s for s in x if s not in both] for x in (a, b))
    sizes = {s: max(_size(x, s) for x in ((a, first), (b, second))) for s in a + b}
    found = product(
        node,
        _matrices(node, (a, first), stack, rows, shared),
        _matrices(node, (b, second), stack, shared, columns),
        1.0,
        None,
    )
    letters = [*stack, *rows, *columns]
    shape, order = [sizes[s] for s in letters], [letters.index(s) for s in output]

    def turned(v: Array) -> Array:
        return np.transpose(v.reshape(shape), order)

    return found.moved(turned, batch) if isinstance(found, Symbol) else turned(found)


def _batch(node: Node, one: Named, other: Named, output: str) -> int | None:
    """Return which dimension of the output is the batch."""
    found = {
        letters[value.batch]
        for letters, value in (one, other)
        if isinstance(value, Symbol) and value.batch is not None
    }
    if not found:
        return None
    letter = found.pop()
    if found or letter not in output or any(_size(each, letter) > 1 for each in (one, other)):
        node.refuse("it would mix the observations of a batch")
    return output.index(letter)


def _size(named: Named, letter: str) -> int:
    letters, value = named
    return value.shape[letters.index(letter)] if letter in letters else 1


def _summed(node: Node, named: Named, kept: str) -> Named:
    """Return a value summed over the letters that nothing else has."""
    letters, value = named
    gone = [letter for letter in letters if letter not in kept]
    if not gone:
        return named
    left = [letter for letter in letters if letter in kept]
    matrix = _matrices(node, named, [], left, gone)
    found = product(node, matrix, np.ones((matrix.shape[-1], 1)), 1.0, None)
    shape = [_size(named, letter) for letter in left]
    if isinstance(found, Symbol):
        return "".join(left), found.moved(lambda v: v.reshape(shape))
    return "".join(left), found.reshape(shape)


def _matrices(
    node: Node, named: Named, stack: list[str], rows: list[str], columns: list[str]
) -> Symbol | Array:
    """Return a value as a stack of matrices."""
    letters, value = named
    order = [letters.index(letter) for letter in (*stack, *rows, *columns)]
    shape = [_size(named, letter) for letter in stack]
    shape += [math.prod(_size(named, letter) for letter in part) for part in (rows, columns)]

    def turned(v: Array) -> Array:
        return np.transpose(v, order).reshape(shape)

    return value.moved(turned) if isinstance(value, Symbol) else turned(value)
