"""Files as each exporter writes them: the graph read acts as onnxruntime does on the file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from sparsectl.common.errors import UserError
from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.load import load
from sparsectl.policy.onnx_file.reader import read_onnx
from tests.training.own_environment import Switches

torch = pytest.importorskip("torch")
nn = torch.nn

FIXTURES = sorted((Path(__file__).parent / "exported").glob("*.onnx"))


def agrees(path: Path, shape: tuple[int, ...], output: str | None = None) -> PolicyGraph:
    """Within 1e-6 of the action's range on random observations."""
    graph = read_onnx(path, output)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    observations = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = session.run(None, {session.get_inputs()[0].name: observations})[0]
    found = graph.forward(observations.reshape(len(observations), -1))
    assert np.ptp(expected) > 0.1
    assert np.abs(found.reshape(expected.shape) - expected).max() <= 1e-6 * np.ptp(expected)
    return graph


def exported(module: Any, inputs: int, path: Path, dynamo: bool) -> Path:
    """As torch's documentation has it, the batch left open."""
    torch.manual_seed(3)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.4 if parameter.dim() == 2 else 0.2)
    module.eval()
    arguments, names = (torch.zeros(2, inputs),), ["observation"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            open_batch = ({0: torch.export.Dim("batch")},)
            torch.onnx.export(
                module,
                arguments,
                str(path),
                dynamo=True,
                dynamic_shapes=open_batch,
                input_names=names,
                verbose=False,
            )
        else:
            open_axes = {"observation": {0: "batch"}}
            torch.onnx.export(
                module,
                arguments,
                str(path),
                dynamo=False,
                dynamic_axes=open_axes,
                input_names=names,
            )
    return path


ACTIVATIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "ReLU": (nn.ReLU, "relu"),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.05), "leaky_relu"),
    "PReLU": (nn.PReLU, "leaky_relu"),
    "ELU": (lambda: nn.ELU(0.8), "elu"),
    "SELU": (nn.SELU, "selu"),
    "Softplus": (nn.Softplus, "softplus"),
    "Softplus, beta 2": (lambda: nn.Softplus(beta=2.0), "softplus"),
    "SiLU": (nn.SiLU, "silu"),
    "GELU": (nn.GELU, "gelu"),
    "GELU, tanh": (lambda: nn.GELU(approximate="tanh"), "gelu_tanh"),
    "Sigmoid": (nn.Sigmoid, "sigmoid"),
    "Tanh": (nn.Tanh, "tanh"),
    "ReLU6": (nn.ReLU6, "clip"),
    "Hardtanh": (nn.Hardtanh, "clip"),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_torch_activations(name: str, tmp_path: Path) -> None:
    make, expected = ACTIVATIONS[name]
    module = nn.Sequential(nn.Linear(4, 16), make(), nn.Linear(16, 16), make(), nn.Linear(16, 2))
    graph = agrees(exported(module, 4, tmp_path / "torch.onnx", dynamo=False), (500, 4))
    assert [layer.activation for layer in graph.layers] == [expected, expected, "identity"]


def test_torch_activations_by_the_new_exporter(tmp_path: Path) -> None:
    """All in one file, as an export takes two seconds."""
    parts: list[Any] = [nn.Linear(4, 12)]
    for make, _ in ACTIVATIONS.values():
        parts += [make(), nn.Linear(12, 12)]
    graph = agrees(exported(nn.Sequential(*parts), 4, tmp_path / "torch.onnx", True), (500, 4))
    names = [expected for _, expected in ACTIVATIONS.values()]
    assert [layer.activation for layer in graph.layers] == [*names, "identity"]


def test_log_sigmoid_is_softplus_turned_round(tmp_path: Path) -> None:
    """Not the log of a sigmoid, which is 0 far out, and then only torch's own is right."""
    module = nn.Sequential(nn.Linear(4, 16), nn.LogSigmoid(), nn.Linear(16, 2))
    graph = read_onnx(exported(module, 4, tmp_path / "torch.onnx", dynamo=False))
    assert [layer.activation for layer in graph.layers] == ["softplus", "identity"]
    x = np.random.default_rng(0).normal(0, 300, (500, 4)).astype(np.float32)
    with torch.no_grad():
        wanted = module(torch.tensor(x)).numpy()
    assert np.abs(graph.forward(x) - wanted).max() < 1e-6 * np.ptp(wanted)


class CleanRlActor(nn.Module):  # type: ignore[name-defined, misc]
    """The actor of CleanRL's td3_continuous_action.py."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc_mu = nn.Linear(4, 16), nn.Linear(16, 16), nn.Linear(16, 2)
        self.register_buffer("action_scale", torch.tensor([2.0, 0.5]))
        self.register_buffer("action_bias", torch.tensor([0.25, -1.0]))

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return torch.tanh(self.fc_mu(x)) * self.action_scale + self.action_bias


class NormalisedDiscrete(nn.Module):  # type: ignore[name-defined, misc]
    """A running mean and variance, clipped as VecNormalize does; probabilities come out."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 16), nn.Linear(16, 3)
        self.register_buffer("mean", torch.tensor([0.1, -2.0, 3.0, 0.0]))
        self.register_buffer("variance", torch.tensor([0.5, 2.0, 0.01, 1.0]))

    def forward(self, x: Any) -> Any:
        x = torch.clamp((x - self.mean) / torch.sqrt(self.variance + 1e-8), -5, 5)
        return torch.softmax(self.head(torch.tanh(self.hidden(x))), -1)


class MeanAndDeviation(nn.Module):  # type: ignore[name-defined, misc]
    """Reordered observations; the mean is one half of what comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 16), nn.Linear(16, 4)

    def forward(self, x: Any) -> Any:
        x = torch.cat([x[:, 2:], x[:, :2] * 0.5], dim=-1)
        mean, _ = self.head(nn.functional.silu(self.hidden(x))).chunk(2, -1)
        return torch.tanh(mean)


class Greedy(nn.Module):  # type: ignore[name-defined, misc]
    """Q-values viewed, flattened and reduced to the best action."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 16), nn.Linear(16, 3)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.hidden(x.reshape(x.shape[0], -1).float()))
        return self.head(x).argmax(dim=1)


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("make", [CleanRlActor, NormalisedDiscrete, MeanAndDeviation, Greedy])
def test_actors_as_people_write_them(make: Any, dynamo: bool, tmp_path: Path) -> None:
    graph = agrees(exported(make(), 4, tmp_path / "actor.onnx", dynamo), (500, 4))
    if make is CleanRlActor:
        mapped = [(s.scale, s.offset) for s in graph.action]
        assert mapped == [(2.0, 0.25), (0.5, -1.0)]


class Deterministic(nn.Module):  # type: ignore[name-defined, misc]
    """Stable-Baselines3's documented wrapper of a policy."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observation: Any) -> Any:
        return self.policy(observation, deterministic=True)


BASELINES: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "PPO": ("PPO", "Pendulum-v1", lambda model: Deterministic(model.policy)),
    "PPO, discrete": ("PPO", "CartPole-v1", lambda model: Deterministic(model.policy)),
    "PPO, its layers": (
        "PPO",
        "Pendulum-v1",
        lambda model: nn.Sequential(model.policy.mlp_extractor.policy_net, model.policy.action_net),
    ),
    "A2C": ("A2C", "Pendulum-v1", lambda model: Deterministic(model.policy)),
    "SAC": ("SAC", "Pendulum-v1", lambda model: Deterministic(model.policy.actor)),
    "SAC, its layers": (
        "SAC",
        "Pendulum-v1",
        lambda model: nn.Sequential(model.actor.latent_pi, model.actor.mu, nn.Tanh()),
    ),
    "TD3": ("TD3", "Pendulum-v1", lambda model: model.policy.actor),
    "DDPG": ("DDPG", "Pendulum-v1", lambda model: model.policy.actor),
    "DQN": ("DQN", "CartPole-v1", lambda model: Deterministic(model.policy)),
}
BY_DYNAMO = ("SAC, its layers", "PPO, its layers", "TD3", "DQN")
"""torch.export cannot trace Stable-Baselines3's distributions; their layers it can."""


@pytest.mark.parametrize(
    ("name", "dynamo"), [*((name, False) for name in BASELINES), *((n, True) for n in BY_DYNAMO)]
)
def test_stable_baselines3(name: str, dynamo: bool, tmp_path: Path) -> None:
    sb3 = pytest.importorskip("stable_baselines3")
    algorithm, environment, wrap = BASELINES[name]
    model = getattr(sb3, algorithm)(
        "MlpPolicy", environment, policy_kwargs={"net_arch": [16, 16]}, device="cpu", seed=0
    )
    inputs = model.observation_space.shape[0]
    module = wrap(model)
    path = exported(module, inputs, tmp_path / "sb3.onnx", dynamo)
    names = [output.name for output in onnx.load(path).graph.output]
    if len(names) > 1:  # actions, values and their logarithms, without names
        with pytest.raises(UserError, match="do not say which are the actions; give names"):
            read_onnx(path)
    graph = agrees(path, (500, inputs), names[0])
    assert (graph.layers[-1].activation == "argmax") == (environment == "CartPole-v1")


def test_a_zip_that_cannot_be_read_says_how_to_export_it(tmp_path: Path) -> None:
    library = pytest.importorskip("stable_baselines3")
    library.PPO("MultiInputPolicy", Switches(), device="cpu").save(tmp_path / "model.zip")
    recipe = r"mlp_extractor.policy_net, model.policy.action_net\)"
    with pytest.raises(UserError, match=f"MultiDiscrete actions.*{recipe}"):
        load(tmp_path / "model.zip")


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_tf2onnx(path: Path) -> None:
    agrees(path, (500, 2, 2) if path.stem == "keras_frames" else (500, 4))


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("scaler", ["StandardScaler", "MinMaxScaler"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_skl2onnx(activation: str, scaler: str, outputs: int, tmp_path: Path) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn import neural_network, pipeline, preprocessing

    generator = np.random.default_rng(0)
    x = generator.normal(size=(100, 4)) * [1, 2, 3, 0.5] + [0, 1, 2, 3]
    y = np.stack([np.sin(x[:, 0]), x[:, 1]], 1)[:, :outputs].squeeze()
    network = neural_network.MLPRegressor(
        hidden_layer_sizes=(16, 8),
        activation=activation,
        solver="lbfgs",
        max_iter=60,
        random_state=0,
    )
    model = pipeline.make_pipeline(getattr(preprocessing, scaler)(), network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y)
    kind = skl2onnx.common.data_types.FloatTensorType([None, 4])
    proto = skl2onnx.convert_sklearn(model, initial_types=[("observation", kind)])
    path = tmp_path / "sklearn.onnx"
    path.write_bytes(proto.SerializeToString())
    assert agrees(path, (500, 4)).action_size == outputs
    normaliser = OnnxSource(path, None, (4, outputs)).normaliser
    assert normaliser is not None
    ends = np.stack([normaliser.offset, normaliser.offset + normaliser.scale])
    assert np.allclose(np.ptp(model[0].transform(ends), axis=0), 1, rtol=1e-4)


def test_weights_beside_the_file_and_in_half_precision(tmp_path: Path) -> None:
    path = exported(CleanRlActor(), 4, tmp_path / "actor.onnx", dynamo=False)
    proto = onnx.load(path)
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2:
            half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}.half"))
            cast = onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=1)
            proto.graph.node.insert(0, cast)
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size > 500
    agrees(path, (500, 4))


def test_layer_normalisation(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 2))
    graph = agrees(exported(module, 4, tmp_path / "norm.onnx", dynamo=False), (500, 4))
    assert graph.layers[0].activation == "layer_norm"


class Stack(nn.Module):
    """Two layers of units, the batch first, their state at both ends or inside."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.units, self.head = kind(4, 6, num_layers=2, batch_first=True), nn.Linear(6, 2)

    def forward(self, observation: Any, *state: Any) -> Any:
        x, after = self.units(observation, *state)
        action = torch.tanh(self.head(x))
        return (action, after) if state else action


@pytest.mark.parametrize(
    ("kind", "dynamo", "is_given"),
    [(nn.GRU, False, True), (nn.GRU, True, True), (nn.LSTM, False, False), (nn.GRU, True, False)],
)
def test_recurrent_layers_of_torch(kind: Any, dynamo: bool, is_given: bool, tmp_path: Path) -> None:
    torch.manual_seed(1)
    module = Stack(kind).eval()
    state = (torch.zeros(2, 1, 6),) if is_given else ()
    names = ["observation", "h0"][: 1 + is_given], ["action", "hn"][: 1 + is_given]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(1, 1, 4), *state),
            str(tmp_path / "m.onnx"),
            dynamo=dynamo,
            input_names=names[0],
            output_names=names[1],
            verbose=False,
        )
    graph = read_onnx(tmp_path / "m.onnx")
    assert graph.state_size == 2 * 6 * (2 if kind is nn.LSTM else 1)
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    with torch.no_grad():
        expected = torch.tanh(module.head(module.units(torch.tensor(observations)[None])[0]))
    assert np.abs(graph.run(observations) - expected[0].numpy()).max() < 1e-6


class Recurrent(nn.Module):
    """A cell that torch writes as plain nodes, its state an input and an output."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(4, 8), nn.Linear(8, 2)

    def forward(self, observation: Any, h: Any) -> Any:
        h = self.cell(observation, h)
        return torch.tanh(self.head(h)), h


def test_a_cell_in_plain_nodes_is_recurrent(tmp_path: Path) -> None:
    path = tmp_path / "gru.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Recurrent().eval(),
            (torch.zeros(1, 4), torch.zeros(1, 8)),
            str(path),
            dynamo=True,
            input_names=["observation", "h"],
            output_names=["action", "h_out"],
            verbose=False,
        )
    graph = read_onnx(path)
    assert (graph.observation_size, graph.state_size) == (4, 8)
    assert read_onnx(path, "action").digest == graph.digest
