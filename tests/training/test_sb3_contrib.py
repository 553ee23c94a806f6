"""What sb3-contrib saves acts here as it does there, or is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Discrete
from torch import nn

from sparsectl.common.errors import UserError
from sparsectl.policy.load import load_acting
from tests.training.test_sb3_heads import Space, compare, saved

contrib = pytest.importorskip("sb3_contrib")

HEADS: list[tuple[str, dict[str, Any]]] = [
    ("TQC", {}),
    ("TQC", {"use_sde": True}),
    ("TQC", {"policy_kwargs": {"activation_fn": nn.ELU, "n_quantiles": 5, "n_critics": 1}}),
    ("TRPO", {}),
    ("TRPO", {"use_sde": True}),
    ("TRPO", {"use_sde": True, "policy_kwargs": {"squash_output": True}}),
    ("TRPO", {"policy_kwargs": {"activation_fn": nn.ReLU, "net_arch": {"pi": [9], "vf": [7]}}}),
]


@pytest.mark.parametrize(("algorithm", "settings"), HEADS)
def test_heads(algorithm: str, settings: dict[str, Any], tmp_path: Path) -> None:
    model = saved(tmp_path / "model.zip", getattr(contrib, algorithm), Space(), **dict(settings))
    observations = np.random.default_rng(0).normal(0, 1, (200, 3)).astype(np.float32)
    compare(model, tmp_path / "model.zip", observations)


@pytest.mark.parametrize(
    ("algorithm", "policy", "env", "complaint"),
    [
        ("CrossQ", "MlpPolicy", Space(), "others between them than activations"),
        ("ARS", "LinearPolicy", Space(), "no actor that is a plain MLP"),
        ("RecurrentPPO", "MlpLstmPolicy", Space(), "is of a recurrent policy"),
        ("QRDQN", "MlpPolicy", Space(done=Discrete(3)), "no actor that is a plain MLP"),
        ("MaskablePPO", "MlpPolicy", Space(done=Discrete(3)), "which choices there are"),
    ],
)
def test_what_would_act_otherwise_is_refused(
    algorithm: str, policy: str, env: Space, complaint: str, tmp_path: Path
) -> None:
    getattr(contrib, algorithm)(policy, env, device="cpu").save(tmp_path / "model.zip")
    with pytest.raises(UserError, match=complaint):
        load_acting(tmp_path / "model.zip")
