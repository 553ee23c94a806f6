"""onnx's reference implementation, with corrections of the operators that it gets wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_rnn import CommonRNN


class BatchNormalization(OpRun):
    """A BatchNormalization of a network that has been trained. In versions 7 to 13 of the operator,
    which say nothing about training, the reference always uses the mean and variance of the batch
    that it is given."""

    op_domain = ""

    def _run(
        self, x: Any, scale: Any, bias: Any, mean: Any, var: Any, epsilon: float = 1e-5, **_: Any
    ) -> tuple[Any]:
        wide = (-1, *[1] * (x.ndim - 2))
        scale, bias, mean, var = (np.reshape(each, wide) for each in (scale, bias, mean, var))
        return ((scale * (x - mean) / np.sqrt(var + epsilon) + bias).astype(x.dtype),)


class RNN(CommonRNN):
    """The operator RNN with the activations that the reference does not know."""

    op_domain = ""

    def choose_act(self, name: str, alpha: float | None, beta: float | None) -> Any:
        known = {"Relu": lambda x: np.maximum(x, 0), "Sigmoid": lambda x: 1 / (1 + np.exp(-x))}
        if name in known:
            return known[name]
        return super().choose_act(name, alpha, beta)  # type: ignore[no-untyped-call]


def reference(model: ModelProto) -> ReferenceEvaluator:
    """Run `model`; a BatchNormalization by the mean and variance that it has, and an RNN with any
    of the activations that the exporter reads.

    Raises:
        Exception: the reference does not know one of its operators.
    """
    return ReferenceEvaluator(model, new_ops=[BatchNormalization, RNN])
