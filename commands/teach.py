"""`sparsectl teach`: train a teacher with Stable-Baselines3 or sbx."""

from sparsectl.training.teachers.teach import teach

__all__ = ["teach"]
