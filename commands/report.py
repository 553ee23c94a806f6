"""`sparsectl report`: write an HTML report of a sweep, a run, a trial, or two trials."""

from sparsectl.experiments.report import report

__all__ = ["report"]
