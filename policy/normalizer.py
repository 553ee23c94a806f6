"""Read the statistics of Stable-Baselines3's VecNormalize, which normalised observations for a
policy.

They are beside the model, as a pickle, which is never decoded here; an .npz of plain arrays
contains them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.npz_file import BadNpz, read_arrays

Array = NDArray[np.float32]

BYTES_LIMIT = 64 * 2**20
EPSILON, CLIP = 1e-8, 10.0
"""VecNormalize's defaults."""
MOST = float(np.finfo(np.float32).max)
"""The clip of what is not clipped."""

SAVE = (
    "python -c \"import pickle, numpy; v = pickle.load(open('vecnormalize.pkl', 'rb')); "
    "numpy.savez('normalizer.npz', mean=v.obs_rms.mean, var=v.obs_rms.var, epsilon=v.epsilon, "
    'clip=v.clip_obs)"'
)
"""The command that makes the .npz from a pickle that you wrote yourself; for Dict observations,
docs/own_policy.md has one."""


@dataclass(frozen=True)
class Normalizer:
    """clip((observation - mean) / √(var + epsilon), ±clip), in float64 as VecNormalize has it.

    Attributes:
        mean, var: [n] float64.
        epsilon: above 0.
        clip: above 0; one number, or [n].
        sha256: the file's, hex.
    """

    mean: NDArray[np.float64]
    var: NDArray[np.float64]
    epsilon: float
    clip: float | NDArray[np.float64]
    sha256: str

    def __call__(self, observations: Array) -> Array:
        """Normalise observations [B, n]."""
        scaled = (observations - self.mean) / np.sqrt(self.var + self.epsilon)
        clipped: Array = np.clip(scaled, -self.clip, self.clip).astype(np.float32)
        return clipped


def read_normalizer(path: Path) -> Normalizer:
    """Read the .npz of a normaliser: `mean` and `var` of an observation, `epsilon` and `clip` where
    not default. Those of a matrix are flattened, as its observations are.

    Raises:
        UserError: the file is missing or foreign, or its values are not a normaliser's.
    """
    if path.suffix in (".pkl", ".pickle"):
        raise UserError(
            f"{path} is a pickle, which could run code here; make an .npz of it: {SAVE}"
        )
    arrays = _arrays(path)
    missing = {"mean", "var"} - arrays.keys()
    if missing:
        raise UserError(f"{path} has no {' and no '.join(sorted(missing))}; it takes mean and var")
    mean, var = arrays["mean"], arrays["var"]
    epsilon, clip = arrays.get("epsilon", np.array(EPSILON)), arrays.get("clip", np.array(CLIP))
    if mean.ndim < 1 or mean.shape != var.shape:
        raise UserError(
            f"{path}: mean is {mean.shape}, var {var.shape}; both have the shape of an observation "
            "(of a Dict: docs/own_policy.md)"
        )
    finite = np.isfinite(mean).all() and np.isfinite(var).all() and bool((var >= 0).all())
    if not finite or epsilon.size != 1 or clip.size not in (1, mean.size):
        raise UserError(
            f"{path}: mean and var must be finite, var not below 0, epsilon one number, clip one "
            f"number or {mean.size}"
        )
    if not epsilon.item() > 0 or not (clip > 0).all():
        raise UserError(f"{path}: epsilon is {epsilon.item()}, clip {clip.min()}; both are over 0")
    limit = np.minimum(clip, MOST).reshape(-1)
    said = float(limit[0]) if limit.size == 1 else limit
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Normalizer(mean.reshape(-1), var.reshape(-1), float(epsilon.item()), said, digest)


def _arrays(path: Path) -> dict[str, NDArray[np.float64]]:
    if not path.is_file():
        raise UserError(f"no normaliser at {path}; make one of VecNormalize's: {SAVE}")
    try:
        found = read_arrays(path, ("mean", "var", "epsilon", "clip"), BYTES_LIMIT)
        return {name: np.asarray(array, np.float64) for name, array in found.items()}
    except (BadNpz, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path} is not an npz of arrays ({reason}); make it: {SAVE}") from error
