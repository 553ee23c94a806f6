"""Which of onnx's backend node tests a policy of vectors can have; the others with the reason.

What is not named here is applicable, so that an operator of a later onnx counts until somebody
says why it should not.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from onnx.backend.test.case.test_case import TestCase

_EXCLUDED: Final = {
    "recurrence, which is tested over sequences": "RNN GRU LSTM Scan Loop SequenceMap",
    "pooling or another operator of images": (
        "ConvTranspose ConvInteger QLinearConv DeformConv Col2Im CausalConvWithState "
        "AveragePool MaxPool LpPool MaxUnpool MaxRoiPool RoiAlign "
        "LRN InstanceNormalization GroupNormalization MeanVarianceNormalization DepthToSpace "
        "SpaceToDepth Resize Upsample GridSample AffineGrid CenterCropPad ImageDecoder "
        "NonMaxSuppression"
    ),
    "attention over a sequence": (
        "Attention FlexAttention LinearAttention RotaryEmbedding TensorScatter ReverseSequence"
    ),
    "signal processing over a sequence": (
        "DFT STFT HannWindow HammingWindow BlackmanWindow MelWeightMatrix CumSum CumProd"
    ),
    "training: losses and optimisers": (
        "Adagrad Adam Momentum Gradient SoftmaxCrossEntropyLoss NegativeLogLikelihoodLoss"
    ),
    "random numbers": "Bernoulli RandomUniformLike RandomNormalLike RandomUniform RandomNormal",
    "text": (
        "StringConcat StringNormalizer StringSplit RegexFullMatch TfIdfVectorizer LabelEncoder"
    ),
    "lists and optional values": (
        "SequenceInsert SequenceEmpty SequenceLength SequenceErase SequenceAt SequenceConstruct "
        "SplitToSequence ConcatFromSequence OptionalGetElement OptionalHasElement Optional"
    ),
    "branches of the graph": "If",
    "a result whose size depends on the numbers": "NonZero Unique Compress",
    "bits of whole numbers": (
        "BitShift BitCast BitwiseAnd BitwiseOr BitwiseXor BitwiseNot MatMulInteger"
    ),
    "matrices as such": "Det EyeLike Trilu",
    "writing at places that the input names": "Scatter ScatterElements ScatterND",
    "decision trees": "TreeEnsemble TreeEnsembleRegressor TreeEnsembleClassifier",
}

WHY_NOT: Final = {name: reason for reason, names in _EXCLUDED.items() for name in names.split()}
"""Operator to reason."""

OBSERVATIONS: Final = tuple(np.dtype(name) for name in ("float32", "float64", "float16"))
ACTIONS: Final = (*OBSERVATIONS, np.dtype(bool), np.dtype(np.int64), np.dtype(np.int32))
"""What an output may be: a number, the index of a choice, or a switch."""

SHAPES: Final = {"Shape", "Size", "Constant", "ConstantOfShape", "Range"}
MOST_NUMBERS: Final = 2048


def why_not_applicable(case: TestCase, operators: dict[str, set[str]]) -> str:
    """The reason, or "" for a test that counts.

    operators: of each test, by its name; a test whose name ends in _expanded writes another test's
    operator out in others, and counts as that one does.
    """
    whole = case.name.split("_expanded")[0]
    names = operators[case.name] | operators.get(whole, set())
    reasons = sorted(WHY_NOT[name] for name in names if name in WHY_NOT)
    if reasons:
        return reasons[0]
    if operators[case.name] <= SHAPES:
        return "it looks at the shape alone, not at the numbers"
    if "train" in case.name:
        return "training: losses and optimisers"
    for inputs, outputs in case.data_sets:
        if not all(isinstance(value, np.ndarray) for value in (*inputs, *outputs)):
            return "lists and optional values"
        if not any(value.dtype in OBSERVATIONS for value in inputs):
            return "no input of floating point, which an observation is"
        if not all(value.dtype in ACTIONS for value in outputs):
            return "an output of a type that is no action"
        if any(value.size == 0 for value in (*inputs, *outputs)):
            return "an array without numbers"
        if any(value.size > MOST_NUMBERS for value in outputs):
            return "more numbers than a policy has actions"
    return ""
