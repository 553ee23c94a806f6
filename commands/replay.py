"""`sparsectl replay`: replay a journal through the policy and the safety logic."""

from sparsectl.hil.replay.replay import replay

__all__ = ["replay"]
