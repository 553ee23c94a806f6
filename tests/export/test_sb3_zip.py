"""`sparsectl export model.zip`: the exported C acts as the library does, or the zip is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.policy.onnx_file.reader import read_onnx
from tests.training.test_sb3_heads import Space, saved

SEEN = Box(-np.inf, np.inf, (3,), np.float32)
MEAN, DEVIATION = np.array([1e6, 101_325.0, 0.0]), np.array([3.0, 1500.0, 0.01])
"""As of a counter, a pressure and an angle: float32 alone loses the first."""


@pytest.fixture
def zipped(tmp_path: Path) -> tuple[Any, VecNormalize, Path, Path]:
    """A model, its VecNormalize, its zip and its normaliser as npz."""
    model = saved(tmp_path / "model.zip", SAC, Space(SEEN))
    vector = VecNormalize(DummyVecEnv([lambda: Space(SEEN)]), clip_obs=2.5)
    vector.obs_rms.mean, vector.obs_rms.var = MEAN, DEVIATION**2
    normalizer = tmp_path / "normalizer.npz"
    np.savez(normalizer, mean=MEAN, var=DEVIATION**2, epsilon=vector.epsilon, clip=vector.clip_obs)
    return model, vector, tmp_path / "model.zip", normalizer


def test_the_c_acts_as_the_library_does(
    zipped: tuple[Any, VecNormalize, Path, Path], tmp_path: Path
) -> None:
    model, vector, path, normalizer = zipped
    result = export_policy(
        ExportConfig(path, tmp_path / "policy", normalizer=normalizer, observations=2000)
    )
    assert result["bit_exact"]  # the C and the reference below are the same
    assert result["source_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert result["inputs_from"] == "normaliser"
    graph = read_onnx(tmp_path / "policy" / "policy.onnx")
    rng = np.random.default_rng(0)
    physical = (MEAN + DEVIATION * rng.normal(0, 1.5, (300, 3))).astype(np.float32)
    expected, _ = model.predict(vector.normalize_obs(physical), deterministic=True)
    np.testing.assert_allclose(graph.forward(physical), expected, atol=2e-5)
    assert np.ptp(expected) > 0.5


def test_what_does_not_fit_is_refused(
    zipped: tuple[Any, VecNormalize, Path, Path], tmp_path: Path
) -> None:
    _, _, path, normalizer = zipped
    out = tmp_path / "policy"
    with pytest.raises(UserError, match="--output is 'action'; it is for ONNX files"):
        export_policy(ExportConfig(path, out, output="action"))
    np.savez(normalizer, mean=MEAN[:2], var=DEVIATION[:2])
    with pytest.raises(UserError, match="normalises 2 observations, .* takes 3"):
        export_policy(ExportConfig(path, out, normalizer=normalizer))
    with pytest.raises(UserError, match="is a pickle, which could run code"):
        export_policy(ExportConfig(path, out, normalizer=tmp_path / "vecnormalize.pkl"))
    other = "--normalizer is .*; it is for files of Stable-Baselines3 and CleanRL"
    with pytest.raises(UserError, match=other):
        export_policy(ExportConfig(tmp_path / "m.onnx", out, normalizer=normalizer))
    assert not out.exists()
