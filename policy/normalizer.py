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

SAVE = (
    "python -c \"import pickle, numpy; v = pickle.load(open('vecnormalize.pkl', 'rb')); "
    "numpy.savez('normalizer.npz', mean=v.obs_rms.mean, var=v.obs_rms.var, epsilon=v.epsilon, "
    'clip=v.clip_obs)"'
)
"""The command that makes the .npz from a pickle that you wrote yourself."""


@dataclass(frozen=True)
class Normalizer:
    """clip((observation - mean) / √(var + epsilon), ±clip), in float64 as VecNormalize has it.

    Attributes:
        mean, var: [n] float64.
        epsilon, clip: above 0.
        sha256: the file's, hex.
    """

    mean: NDArray[np.float64]
    var: NDArray[np.float64]
    epsilon: float
    clip: float
    sha256: str

    def __call__(self, observations: Array) -> Array:
        """Normalise observations [B, n]."""
        scaled = (observations - self.mean) / np.sqrt(self.var + self.epsilon)
        clipped: Array = np.clip(scaled, -self.clip, self.clip).astype(np.float32)
        return clipped


def read_normalizer(path: Path) -> Normalizer:
    """Read the .npz of a normaliser: `mean` and `var` [n], `epsilon` and `clip` where not default.

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
    if mean.ndim != 1 or mean.shape != var.shape:
        raise UserError(f"{path}: mean is {mean.shape}, var {var.shape}; both are a vector")
    finite = np.isfinite(mean).all() and np.isfinite(var).all() and bool((var >= 0).all())
    if not finite or epsilon.size != 1 or clip.size != 1:
        raise UserError(f"{path}: mean and var must be finite, var not below 0, clip one number")
    if not epsilon.item() > 0 or not clip.item() > 0:
        raise UserError(f"{path}: epsilon is {epsilon.item()}, clip {clip.item()}; both are over 0")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Normalizer(mean, var, float(epsilon.item()), float(clip.item()), digest)


def _arrays(path: Path) -> dict[str, NDArray[np.float64]]:
    if not path.is_file():
        raise UserError(f"no normaliser at {path}; make one of VecNormalize's: {SAVE}")
    try:
        found = read_arrays(path, ("mean", "var", "epsilon", "clip"), BYTES_LIMIT)
        return {name: np.asarray(array, np.float64) for name, array in found.items()}
    except (BadNpz, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path} is not an npz of arrays ({reason}); make it: {SAVE}") from error
