"""Libraries of reinforcement learning that train teachers; a line each."""

from sparsectl.training.teachers.backends import sb3, sbx
from sparsectl.training.teachers.backends.backend import Backend

BACKENDS: dict[str, Backend] = {"sb3": sb3.BACKEND, "sbx": sbx.BACKEND}
