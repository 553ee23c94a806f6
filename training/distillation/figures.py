"""Figures about a student during its training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.policy.student_file import StudentLayer
from sparsectl.training.students.masked import kept_weights, live_biases, simplified


def masked(layers: Sequence[StudentLayer], threshold: float) -> tuple[StudentLayer, ...]:
    """Return the layers with the mask of this threshold, without weights that cannot affect the
    output."""
    return simplified(layers, [layer.kept(threshold) for layer in layers])


def layer_figures(layers: Sequence[StudentLayer], threshold: float) -> dict[str, float]:
    """Return the total of kept weights, and for each layer its sparsity (the share of weights cut)
    and mean log α."""
    figures: dict[str, float] = {"kept_weights": kept_weights(masked(layers, threshold))}
    for index, layer in enumerate(layers):
        figures[f"sparsity/layer_{index}"] = 1 - float(layer.kept(threshold).mean())
        figures[f"mean_log_alpha/layer_{index}"] = float(layer.log_alpha.mean())
    return figures


def counts(layers: Sequence[StudentLayer], teacher: dict[str, Any] | None) -> dict[str, Any]:
    """Return a student's size: its weights alone, and with its biases.

    Args:
        layers: the student.
        teacher: weights and parameters (weights and biases) of the teacher, as far as they are
            known.

    Returns:
        dict: kept_weights and kept_parameters (weights and biases that are not zero),
        teacher_weights and teacher_parameters, kept_fraction of the weights and
        kept_parameters_fraction of the parameters; None where that of the teacher is not known.
    """
    known = teacher or {}
    kept = {"weights": kept_weights(layers)}
    kept["parameters"] = kept["weights"] + live_biases(layers)
    of = {name: known.get(name) for name in kept}
    shares = {name: kept[name] / all_ if (all_ := of[name]) else None for name in kept}
    return {
        "kept_weights": kept["weights"],
        "kept_parameters": kept["parameters"],
        "teacher_weights": of["weights"],
        "teacher_parameters": of["parameters"],
        "kept_fraction": shares["weights"],
        "kept_parameters_fraction": shares["parameters"],
    }


def check_alive(layers: Sequence[StudentLayer], setting: str, mend: str) -> None:
    """Check that a masked student still has a path from an observation to an action.

    Raises:
        UserError: it has no such path.
    """
    if not kept_weights(layers):
        raise UserError(f"the student lost every weight {setting}; give {mend}")
