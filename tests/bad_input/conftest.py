"""What commands take, made for real."""

from __future__ import annotations

import pytest

from sparsectl.hil.config import TrialConfig
from sparsectl.hil.trial.trial import run_trial
from sparsectl.training.config import CollectConfig
from sparsectl.training.rollouts.collect import collect
from tests.hil.policies import export_graph, timid_graph
from tests.training.balancer import ENVIRONMENT, write_balancer


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What commands take, made for real, by the name of the setting."""
    folder = tmp_path_factory.mktemp("good")
    policy = export_graph(timid_graph(), folder / "policies")
    teacher = write_balancer(folder / "balancer.safetensors")
    dataset = folder / "dataset.npz"
    collect(CollectConfig(teacher, ENVIRONMENT, dataset, 60, workers=1))
    run_trial(
        TrialConfig(
            policy=policy,
            clock="lockstep",
            seconds=1.0,
            swing_up_limit_s=1.0,
            out=folder / "trial",
            firmware=folder / "firmware",
            report=False,
        )
    )
    sweep = folder / "sweep.toml"
    sweep.write_text(f'env = "{ENVIRONMENT}"\nteacher = "{teacher}"\n[evaluate]\nepisodes = 1\n')
    return {
        "file": str(sweep),
        "policy": str(policy),
        "model": str(policy.parent / "source.onnx"),
        "firmware": str(folder / "firmware"),
        "journal": str(folder / "trial" / "journal.bin"),
        "path": str(folder / "trial"),
        "dataset": str(dataset),
        "teacher": str(teacher),
        "students": str(teacher),
        "evaluate policy": str(teacher),
        "journals": str(folder / "trial" / "journal.bin"),
        "rig": "sensorsini_cartpole",
        "adapt policy": "any-cartpole",
        "env": ENVIRONMENT,
    }
