"""Zips of Stable-Baselines3 with several choices at once: what their refusal advises works."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, MultiBinary, MultiDiscrete

from sparsectl.common.errors import UserError
from sparsectl.policy.load import load, load_acting
from sparsectl.policy.sb3_file import AFTER_LSTM, LOGITS_MODULE, SEVERAL

torch = pytest.importorskip("torch")
library = pytest.importorskip("stable_baselines3")
nn = torch.nn


@pytest.mark.parametrize("space", [MultiDiscrete([2, 3]), MultiBinary(3)])
def test_several_choices_are_exported_as_the_message_says(space: Any, tmp_path: Path) -> None:

    class Several(gymnasium.Env[Any, Any]):
        observation_space, action_space = Box(-1, 1, (4,)), space

    model = library.PPO("MlpPolicy", Several(), device="cpu", seed=1)
    model.save(tmp_path / "model.zip")
    with pytest.raises(UserError, match=type(space).__name__) as error:
        load(tmp_path / "model.zip")

    class Chosen(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            layers = model.policy.mlp_extractor.policy_net, model.policy.action_net
            self.layers = nn.Sequential(*layers)

        def forward(self, observation: Any) -> Any:
            logits = self.layers(observation)
            if isinstance(space, MultiBinary):
                return (logits > 0).float()
            nvec = space.nvec.tolist()
            return torch.stack([part.argmax(1) for part in logits.split(list(nvec), 1)], 1).float()

    source = inspect.getsource(Chosen).replace("return ", "")
    mend = SEVERAL[type(space).__name__]
    assert mend in str(error.value) and mend.rpartition("such as ")[2] in source
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about its older exporter
        torch.onnx.export(Chosen(), (torch.zeros(1, 4),), str(tmp_path / "m.onnx"), dynamo=False)
    given = np.random.default_rng(0).uniform(-1, 1, (200, 4)).astype(np.float32)
    expected, _ = model.predict(given, deterministic=True)
    assert np.array_equal(load(tmp_path / "m.onnx").forward(given), expected)
    assert len(np.unique(expected, axis=0)) > 1


@pytest.mark.parametrize("space", [MultiDiscrete([2, 3]), MultiBinary(3)])
def test_several_choices_of_a_policy_with_a_state(space: Any, tmp_path: Path) -> None:
    contrib = pytest.importorskip("sb3_contrib")

    class Several(gymnasium.Env[Any, Any]):
        observation_space, action_space = Box(-1, 1, (4,)), space

    kwargs = {"lstm_hidden_size": 6, "net_arch": [5]}
    model = contrib.RecurrentPPO(
        "MlpLstmPolicy", Several(), device="cpu", seed=1, policy_kwargs=kwargs
    )
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    model.save(tmp_path / "model.zip")
    with pytest.raises(UserError, match=type(space).__name__) as error:
        load(tmp_path / "model.zip")
    assert str(error.value).endswith(LOGITS_MODULE + AFTER_LSTM)

    class Chosen(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            layers = model.policy.mlp_extractor.policy_net, model.policy.action_net
            self.lstm, self.layers = model.policy.lstm_actor, nn.Sequential(*layers)

        def forward(self, observation: Any, h_in: Any, c_in: Any) -> Any:
            given, (h_out, c_out) = self.lstm(observation[None], (h_in, c_in))
            logits = self.layers(given[0])
            if isinstance(space, MultiBinary):
                return (logits > 0).float(), h_out, c_out
            parts = logits.split(space.nvec.tolist(), 1)
            return torch.stack([part.argmax(1) for part in parts], 1).float(), h_out, c_out

    state = torch.zeros(1, 1, 6)
    names = {"input_names": ["observation", "h_in", "c_in"]}
    names["output_names"] = ["action", "h_out", "c_out"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about its older exporter
        torch.onnx.export(
            Chosen(),
            (torch.zeros(1, 4), state, state),
            str(tmp_path / "m.onnx"),
            dynamo=False,
            **names,
        )
    given = np.random.default_rng(0).uniform(-1, 1, (100, 4)).astype(np.float32)
    expected, last = [], None
    for one in given:
        action, last = model.predict(one, state=last, deterministic=True)
        expected.append(action)
    assert np.array_equal(load_acting(tmp_path / "m.onnx").run(given), expected)
    assert len(np.unique(expected, axis=0)) > 1
