"""What is chosen keeps to the limit on the observations that the export itself is judged by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparsectl.command_line.config import ChooseConfig
from sparsectl.commands.choosing import measuring
from sparsectl.commands.export import export
from sparsectl.export.pipeline import export_policy
from sparsectl.policy.onnx_file.writer import write_onnx
from tests.policy.graphs import random_graph
from tests.tools import need


def test_a_candidate_that_few_observations_flatter_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("arm-none-eabi-gcc")
    write_onnx(random_graph((4, 16, 1)), tmp_path / "model.onnx")
    monkeypatch.setattr(measuring, "CANDIDATE_OBSERVATIONS", 5)
    monkeypatch.setattr(measuring, "candidates", lambda *_: ["straight-int8", "csr"])
    seen = np.random.default_rng(0).uniform(-2, 2, (5000, 4)).astype(np.float32)
    np.savez(tmp_path / "seen.npz", observations=seen)
    config = ChooseConfig(
        model=tmp_path / "model.onnx",
        out=tmp_path / "policy",
        board=("cortex-m3",),
        calibration=tmp_path / "seen.npz",
        observations=2000,
        error=0.5,
    )
    exact = replace(measuring.export_config(config), encoding="straight-int8")
    few, all_of_them = (
        export_policy(replace(exact, observations=n))["max_error_share"] for n in (5, 2000)
    )
    assert few < all_of_them
    assert export(config)["encoding"] == "straight-int8"
    between = (few + all_of_them) / 2
    result = export(replace(config, error=between))
    assert result["encoding"] == "csr"
    rows = {row["encoding"]: row for row in result["choice"]["candidates"]}
    assert rows["straight-int8"]["over"] == ["error"]
