"""Fine-tuning of a masked student, and pruning to the target size."""

from __future__ import annotations

from sparsectl.policy.student_file import StudentLayer
from sparsectl.training.finetuning.first_order import FirstOrder
from sparsectl.training.finetuning.second_order import SecondOrder
from sparsectl.training.policy_distillation.heads import Term
from sparsectl.training.settings import FinetuneSettings
from sparsectl.training.students.masked import kept_weights


def finetuning_of(
    settings: FinetuneSettings, layers: tuple[StudentLayer, ...], term: Term | None = None
) -> type[FirstOrder] | type[SecondOrder]:
    """Return how a student is fine-tuned; this depends on its size, and on whether rounded weights
    have gradients. Curvature is available for the squared error of actions only, not for losses
    over choices, and not for convolutions."""
    known = term is None and layers[0].convolution is None
    small = kept_weights(layers) <= settings.newton_below and known
    return SecondOrder if small and settings.encoding == "float32" else FirstOrder
