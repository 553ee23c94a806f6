"""Detect whether a policy was trained with a normaliser, whose statistics its file does not
contain."""

from __future__ import annotations

from pathlib import Path

from sparsectl.common.warning import warn
from sparsectl.policy.cleanrl_file import behind_normaliser
from sparsectl.policy.sb3_zip import read_members

CLEANRL = ".cleanrl_model"
VEC_NORMALIZE = b"stable_baselines3.common.vec_env.vec_normalize"
"""The module that a pickle of VecNormalize names before anything else."""
HEAD_BYTES = 200


def sign_of_normaliser(path: Path) -> str | None:
    """Return the sign that a policy was trained with a normaliser; None if there is none.

    RL Baselines3 Zoo keeps the normaliser in a folder beside the zip, which has no zip of its own.
    """
    if path.suffix.lower() == CLEANRL:
        return "CleanRL's script normalises observations" if behind_normaliser(path) else None
    here = sorted(found for found in path.parent.glob("*.pkl") if _is_normaliser(found))
    for found in [*here, *path.parent.glob("*/vecnormalize.pkl")]:
        if found.parent == path.parent or not any(found.parent.glob("*.zip")):
            place = found.relative_to(path.parent)
            return f"{place} lies beside it, so VecNormalize seems to have been used"
    if says_vec_normalize(path):
        return "it was trained with VecNormalize"
    return None


def _is_normaliser(path: Path) -> bool:
    """Return whether a pickle is of VecNormalize, by its name or by its first bytes, which are
    compared and not decoded."""
    if "vecnormalize" in path.name.lower().replace("_", ""):
        return True
    try:
        if not path.is_file():  # a pipe might never end
            return False
        with path.open("rb") as file:
            return VEC_NORMALIZE in file.read(HEAD_BYTES)
    except OSError:
        return False


def warn_of_normaliser(path: Path) -> None:
    """Warn if a policy that was trained with a normaliser is used without one."""
    if sign := sign_of_normaliser(path):
        warn(f"{path}: {sign}; give its mean and variance with --normalizer (docs/own_policy.md)")


def says_vec_normalize(path: Path) -> bool:
    """Return whether an on-policy zip shows that VecNormalize was used, for observations or
    rewards.

    The library keeps a copy of the last observation as it was before VecNormalize, and nothing
    where there was none; off-policy algorithms keep one anyway.
    """
    _, data = read_members(path)
    on_policy = "n_steps" in data and "gae_lambda" in data
    return on_policy and data.get("_last_original_obs") is not None
