"""A hand-tuned controller that balances InvertedPendulum-v5: a teacher that needs no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sparsectl.policy.student_file import StudentFile, StudentLayer, write_student
from sparsectl.training.environments.environments import named_environment

ENVIRONMENT = "InvertedPendulum-v5"
SHORT = named_environment(ENVIRONMENT, ["max_episode_steps=200"], [])
"""The same with a fifth of its steps, which tells as well whether a student balances."""
GAINS = np.array([[0.3, 3.0, 0.4, 0.6]], np.float32)


def signal(name: str, scale: float = 1.0, limit: float | None = None) -> dict[str, Any]:
    low = None if limit is None else -limit
    return {"name": name, "unit": "", "scale": scale, "offset": 0.0, "low": low, "high": limit}


def write_balancer(path: Path) -> Path:
    """A policy file of 5 parameters that keeps the pendulum up for 1000 steps."""
    signals = {
        "observation": [signal(name) for name in ("x", "angle", "speed", "turn")],
        "action": [signal("force", 3.0, 3.0)],
        "frames": 1,
        "period_s": 0.04,
        "rig": None,
    }
    layer = StudentLayer(GAINS, np.full_like(GAINS, -10), np.zeros(1, np.float32))
    metadata = {
        "activations": ["tanh"],
        "log_alpha_threshold": 2.0,
        "signals": signals,
        "environment": ENVIRONMENT,
    }
    write_student(path, StudentFile((layer,), metadata))
    return path
