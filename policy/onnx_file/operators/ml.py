"""Operators of ai.onnx.ml that skl2onnx writes for what is linear, and before it."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.onnx_file.node import Node
from sparsectl.policy.onnx_file.operators.comparisons import over
from sparsectl.policy.onnx_file.operators.constants import whole
from sparsectl.policy.onnx_file.operators.layers import product
from sparsectl.policy.onnx_file.operators.normalisations import over_size
from sparsectl.policy.onnx_file.operators.picking import MOST_TABLED, tabled_from
from sparsectl.policy.onnx_file.operators.reductions import each_row
from sparsectl.policy.onnx_file.operators.registry import Result, operator
from sparsectl.policy.onnx_file.symbol import WHOLE, Symbol, constants, with_kind


@operator("ai.onnx.ml.LinearRegressor")
def linear_regressor(node: Node) -> Result:
    if node.text("post_transform", "NONE") != "NONE":
        node.refuse("it transforms what it has predicted")
    return _sums(node, node.whole("targets", 1))


@operator("ai.onnx.ml.LinearClassifier")
def linear_classifier(node: Node) -> Result:
    """Return the label, of whole numbers, and the scores; every class has a row of weights."""
    labels = node.numbers("classlabels_ints", [])
    if labels != [*range(len(labels))] or len(labels) < 2:
        node.refuse("its labels are not 0, 1, 2, …; give it these")
    if len(node.numbers("intercepts", [])) != len(labels):
        node.refuse("it does not have an intercept for each label; fit it with one")
    scores = _sums(node, len(labels))
    label = each_row(scores, lambda row: node.program.whole("argmax", row))
    label = label.moved(lambda v: v.reshape(-1), 0 if scores.batch == 0 else None)
    kind = node.text("post_transform", "NONE")
    if kind == "LOGISTIC":
        scores = node.program.apply("sigmoid", scores)
    elif kind == "SOFTMAX":
        soft = each_row(scores, lambda row: node.program.whole("softmax", row))
        scores = soft.moved(lambda v: v, scores.batch)
    elif kind != "NONE":
        node.refuse(f"its post_transform is {kind[:20]}; NONE, LOGISTIC and SOFTMAX are possible")
    return with_kind(label, WHOLE), scores


def _sums(node: Node, count: int) -> Symbol:
    weight = np.array(node.numbers("coefficients", []), np.float32)
    value = node.symbol()
    if count < 1 or weight.size != count * value.shape[-1]:
        node.refuse(f"{weight.size} weights for {count} results of {value.shape[-1]} values")
    bias = node.numbers("intercepts", [])
    offset = np.array(bias, np.float32) if bias else None
    found = product(node, value, weight.reshape(count, -1).T, 1.0, offset)
    return found if isinstance(found, Symbol) else constants(found)


@operator("ai.onnx.ml.Binarizer")
def binarizer(node: Node) -> Result:
    """1 where a value is over the threshold, else 0."""
    limit = constants(np.array(node.number("threshold", 0.0)))
    found = over(node.program, node.symbol(), limit)
    return with_kind(found, node.symbol().kind)


@operator("ai.onnx.ml.OneHotEncoder")
def one_hot_encoder(node: Node) -> Result:
    """1 at the place of the category that a value is, rounded towards 0; 0 elsewhere, and at each
    place for other values, where a file without `zeros` stops."""
    categories = node.numbers("cats_int64s", [])
    least, most = min(categories, default=0.0), max(categories, default=0.0)
    if not categories or most - least >= MOST_TABLED:
        node.refuse(
            f"its categories are {categories[:9] or 'text'}; whole numbers, not more than "
            f"{MOST_TABLED} apart, are possible"
        )
    numbers = np.arange(least - 1, most + 2)
    table = (numbers[:, None] == np.array(categories)).astype(np.float32)
    node.tensors.spend(4 * table.size * node.symbol().size, node.label)
    return tabled_from(node, table, whole(node, node.symbol()), first=int(least) - 1)


@operator("ai.onnx.ml.Normalizer")
def normalizer(node: Node) -> Result:
    """Each row over its sum of magnitudes (L1) or the root of its sum of squares (L2)."""
    norms = {"L1": 1, "L2": 2}
    name = node.text("norm", "MAX")
    if name not in norms:
        node.refuse("it divides by the greatest value; L1 and L2 are possible")
    value = node.symbol()
    return over_size(node, value, value.ndim - 1, norms[name])
