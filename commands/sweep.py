"""`sparsectl sweep`: run a grid of experiments from one file."""

from sparsectl.experiments.sweep import sweep

__all__ = ["sweep"]
