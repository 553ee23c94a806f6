"""Returns of policies in the benchmarks' own episodes, by which nothing was ever chosen."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.files import atomic_path
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import provenance
from sparsectl.policy.load import load_acting
from sparsectl.training.rollouts.evaluate import run_episodes
from sparsectl.training.rollouts.seeds import Series

AT_ONCE = 256
"""Episodes side by side, and between looks at the file."""


def mark(path: Path) -> str:
    """What tells one policy from another: the first digits of its file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def returns_of(policy: Path, env: str, episodes: int, folder: Path) -> NDArray[np.float64]:
    """Returns [episodes]; what is measured is kept in the folder and not measured again."""
    kept = folder / f"returns-{mark(policy)}.npy"
    returns = np.load(kept, allow_pickle=False) if kept.is_file() else np.empty(0)
    act = load_acting(policy).act
    with Progress(total=episodes, initial=len(returns), desc=policy.stem, unit="ep") as shown:
        while len(returns) < episodes:
            count = min(AT_ONCE, episodes - len(returns))
            more = run_episodes(
                env, act, episodes=count, seed=len(returns), series=Series.BENCHMARK
            ).returns
            returns = np.concatenate([returns, more])
            with atomic_path(kept) as temporary, temporary.open("wb") as file:
                np.save(file, returns)
            shown.update(count)
    return returns[:episodes]


def here() -> dict[str, Any]:
    """Provenance of the running benchmark as it is committed: a path is its last name alone."""
    origin = provenance()
    words = [Path(word).name if Path(word).is_absolute() else word for word in origin["command"]]
    return origin | {"command": words}


def rounded(returns: NDArray[np.float64]) -> list[float]:
    """Returns as they are committed: a tenth is far below what any figure shows."""
    return [round(float(value), 1) for value in returns]
