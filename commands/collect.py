"""`sparsectl collect`: record a teacher's transitions as a dataset."""

from sparsectl.training.rollouts.collect import collect

__all__ = ["collect"]
