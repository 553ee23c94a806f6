"""Libraries of reinforcement learning that train teachers; a line each."""

from sparsectl.training.backends import sb3, sbx
from sparsectl.training.backends.backend import Backend

BACKENDS: dict[str, Backend] = {"sb3": sb3.BACKEND, "sbx": sbx.BACKEND}
