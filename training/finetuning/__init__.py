"""Fine-tuning of a masked student, and cutting to the size that is wanted."""

from __future__ import annotations

from sparsectl.training.finetuning.first_order import FirstOrder
from sparsectl.training.finetuning.second_order import SecondOrder
from sparsectl.training.settings import FinetuneSettings
from sparsectl.training.students.masked import kept_weights
from sparsectl.training.students.storage import StudentLayer


def finetuning_of(
    settings: FinetuneSettings, layers: tuple[StudentLayer, ...]
) -> type[FirstOrder] | type[SecondOrder]:
    """How a student is fine-tuned: its size decides, and whether rounded weights have slopes."""
    small = kept_weights(layers) <= settings.newton_below
    return SecondOrder if small and settings.encoding == "float32" else FirstOrder
