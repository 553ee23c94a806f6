"""Whether a Stable-Baselines3 zip was trained behind a VecNormalize, which is not in it."""

from __future__ import annotations

from pathlib import Path

from sparsectl.common.warning import warn
from sparsectl.policy.sb3_zip import read_members


def sign_of_normaliser(path: Path) -> str | None:
    """What says that a zip was trained behind VecNormalize; None: nothing.

    RL Baselines3 Zoo keeps the normaliser in a folder beside the zip, which has no zip of its own.
    """
    beside = [*path.parent.glob("*vecnormalize*.pkl"), *path.parent.glob("*/vecnormalize.pkl")]
    for found in beside:
        if found.parent == path.parent or not any(found.parent.glob("*.zip")):
            place = found.relative_to(path.parent)
            return f"{place} lies beside it, so VecNormalize seems to have been used"
    if says_vec_normalize(path):
        return "it was trained with VecNormalize"
    return None


def warn_of_normaliser(path: Path) -> None:
    """Warn where a zip that is used without a normaliser was trained with one."""
    if sign := sign_of_normaliser(path):
        warn(f"{path}: {sign}; give its mean and variance with --normalizer (docs/own_policy.md)")


def says_vec_normalize(path: Path) -> bool:
    """Whether an on-policy zip says that VecNormalize stood before it, for observations or rewards.

    The library keeps a copy of the last observation as it was before VecNormalize, and nothing
    where there was none; off-policy algorithms keep one anyway.
    """
    _, data = read_members(path)
    on_policy = "n_steps" in data and "gae_lambda" in data
    return on_policy and data.get("_last_original_obs") is not None
