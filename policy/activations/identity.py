"""No activation: the sums are the results."""

from __future__ import annotations

from sparsectl.policy.activations.activation import Activation

IDENTITY = Activation("identity", forward=lambda x: x, exact=lambda x: x)
