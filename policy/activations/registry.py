"""The registry of activations, and their C."""

from __future__ import annotations

from collections.abc import Iterable

from sparsectl.policy.activations.activation import (
    Activation,
    CFunction,
    CText,
    FloatLiteral,
    c_float,
)
from sparsectl.policy.activations.argmax import ARGMAX
from sparsectl.policy.activations.clip import CLIP
from sparsectl.policy.activations.elu import ELU
from sparsectl.policy.activations.error_function import ERROR_FUNCTION
from sparsectl.policy.activations.exponent import EXPONENTIAL
from sparsectl.policy.activations.gelu import GELU, GELU_TANH
from sparsectl.policy.activations.greatest import GREATEST
from sparsectl.policy.activations.hard_swish import HARD_SWISH
from sparsectl.policy.activations.identity import IDENTITY
from sparsectl.policy.activations.leaky_relu import LEAKY_RELU
from sparsectl.policy.activations.logarithm import LOGARITHM
from sparsectl.policy.activations.mish import MISH
from sparsectl.policy.activations.normalisations import LAYER_NORM, RMS_NORM
from sparsectl.policy.activations.pairs import CHOICE, MAXIMUM, MINIMUM, PRODUCT, QUOTIENT
from sparsectl.policy.activations.plain_functions import (
    ABSOLUTE,
    RECIPROCAL,
    ROUND_DOWN,
    ROUND_HALF_EVEN,
    SQUARE,
    STEP,
)
from sparsectl.policy.activations.quantise import QUANTISE
from sparsectl.policy.activations.recurrent import (
    GATED_PRODUCT,
    GRU,
    GRU_UPDATE,
    LSTM_CELL,
    LSTM_OUTPUT,
)
from sparsectl.policy.activations.relu import RELU
from sparsectl.policy.activations.selu import SELU
from sparsectl.policy.activations.sigmoid import SIGMOID
from sparsectl.policy.activations.silu import SILU
from sparsectl.policy.activations.softmax import SOFTMAX
from sparsectl.policy.activations.softplus import SOFTPLUS
from sparsectl.policy.activations.square_root import SQUARE_ROOT
from sparsectl.policy.activations.tanh import TANH
from sparsectl.policy.activations.trigonometry import COSINE, SINE

ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        IDENTITY,
        RELU,
        LEAKY_RELU,
        ELU,
        SELU,
        SOFTPLUS,
        SILU,
        GELU,
        GELU_TANH,
        SIGMOID,
        TANH,
        SOFTMAX,
        CLIP,
        ARGMAX,
        ERROR_FUNCTION,
        EXPONENTIAL,
        GREATEST,
        HARD_SWISH,
        LOGARITHM,
        MISH,
        LAYER_NORM,
        RMS_NORM,
        CHOICE,
        MAXIMUM,
        MINIMUM,
        PRODUCT,
        QUOTIENT,
        ABSOLUTE,
        RECIPROCAL,
        ROUND_DOWN,
        ROUND_HALF_EVEN,
        SQUARE,
        STEP,
        QUANTISE,
        SQUARE_ROOT,
        COSINE,
        SINE,
        GATED_PRODUCT,
        GRU,
        GRU_UPDATE,
        LSTM_CELL,
        LSTM_OUTPUT,
    )
}


def c_functions(
    names: Iterable[str], *, loops: bool = True, literal: FloatLiteral = c_float
) -> list[str]:
    """Return the C functions of these activations, each once, after those that they call.

    loops: also NAME_all, which works on an array in place; otherwise NAME_of alone, on one number.
    literal: the format of numbers.
    """
    texts = [text for name in names for text in _texts(name, loops)]
    written = [text if isinstance(text, str) else text(literal) for text in texts]
    return [text for text in dict.fromkeys(written) if text]


def c_bits(names: Iterable[str]) -> frozenset[str]:
    """Return which of bits_of and float_of the C functions of these activations call."""
    texts = [text for name in names for text in _texts(name, loops=True)]
    return frozenset().union(*(text.bits for text in texts if isinstance(text, CFunction)))


def _texts(name: str, loops: bool) -> tuple[CText, ...]:
    activation = ACTIVATIONS[name]
    return (*activation.c_helpers, activation.c_one, activation.c_all if loops else "")


def c_call(
    name: str,
    parameters: tuple[float, ...],
    array: str,
    count: int,
    literal: FloatLiteral = c_float,
) -> str:
    """Return the statement that applies an activation to `array` in place; empty for none."""
    if not ACTIVATIONS[name].c_all:
        return ""
    return f"{name}_all({', '.join([array, str(count), *map(literal, parameters)])});"
