"""What is said about a student while it is trained."""

from __future__ import annotations

from collections.abc import Sequence

from sparsectl.common.errors import UserError
from sparsectl.training.students.masked import kept_weights, simplified
from sparsectl.training.students.storage import StudentLayer


def masked(layers: Sequence[StudentLayer], threshold: float) -> tuple[StudentLayer, ...]:
    """The layers with the mask that the threshold gives, and without what cannot matter."""
    return simplified(layers, [layer.kept(threshold) for layer in layers])


def layer_figures(layers: Sequence[StudentLayer], threshold: float) -> dict[str, float]:
    """Kept weights in all, and for each layer its sparsity (the share cut) and mean log α."""
    figures: dict[str, float] = {"kept_weights": kept_weights(masked(layers, threshold))}
    for index, layer in enumerate(layers):
        figures[f"sparsity/layer_{index}"] = 1 - float(layer.kept(threshold).mean())
        figures[f"mean_log_alpha/layer_{index}"] = float(layer.log_alpha.mean())
    return figures


def check_alive(layers: Sequence[StudentLayer], setting: str, mend: str) -> None:
    """Check that a masked student still has a way from an observation to an action.

    Raises:
        UserError: it has none.
    """
    if not kept_weights(layers):
        raise UserError(f"the student lost every weight {setting}; give {mend}")
