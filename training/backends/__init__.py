"""Libraries of reinforcement learning that train teachers; a line each."""

from training.backends import sb3, sbx
from training.backends.backend import Backend

BACKENDS: dict[str, Backend] = {"sb3": sb3.BACKEND, "sbx": sbx.BACKEND}
