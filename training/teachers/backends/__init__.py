"""The registry of libraries of reinforcement learning that train teachers."""

from sparsectl.training.teachers.backends import sb3, sbx
from sparsectl.training.teachers.backends.backend import Backend

BACKENDS: dict[str, Backend] = {"sb3": sb3.BACKEND, "sbx": sbx.BACKEND}
