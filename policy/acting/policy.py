"""A policy of any kind as it acts on the host: what is evaluated, collected from and distilled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.networks import Array, Mlp, Network
from sparsectl.policy.acting.states import Recurrent, RecurrentNetwork
from sparsectl.policy.activations.argmax import argmax
from sparsectl.policy.choices import LOGITS, Choices, choices_of
from sparsectl.policy.graph import PolicyGraph

JSON = dict[str, Any]


@dataclass(frozen=True)
class ActingPolicy:
    """A deterministic policy in the environment's physical units; it travels to worker processes.

    Attributes:
        network: observations [B, n] → actions [B, m].
        parameters: number of weights and biases of the acting network, including zeros.
        sha256: of its file, hex.
        signals: names, units, scales and limits of observations and actions, if the file contains
            them.
        environment: Gymnasium id of the environment that it was trained in, if the file contains
            it.
        weights: number of weights without biases, if it is known.
        normalizer_sha256: of the file of its normaliser, where one was given.
        choices: of a policy that takes one of a few. With `choices.values` the network gives a
            value for each choice; without, the index of the choice.
        image: the sizes of the one image that a foreign ONNX file takes, without the batch, in the
            order of its own numbers.
        inputs: the names of the inputs of a foreign ONNX file that takes several, in the order in
            which an observation has their numbers.
    """

    network: Network
    parameters: int
    sha256: str
    signals: JSON | None = None
    environment: str | None = None
    weights: int | None = None
    normalizer_sha256: str | None = None
    choices: Choices | None = None
    image: tuple[int, ...] | None = None
    inputs: tuple[str, ...] = ()

    @property
    def observation_size(self) -> int:
        return self.network.observation_size

    @property
    def action_size(self) -> int:
        return self.network.action_size if self.choices is None else 1

    def facts(self) -> JSON:
        """Return the facts about their teacher that datasets and students keep."""
        facts: JSON = {"parameters": self.parameters, "weights": self.weights}
        facts["sha256"] = self.sha256
        if self.normalizer_sha256 is not None:
            facts["normalizer_sha256"] = self.normalizer_sha256
        return facts

    @property
    def identity(self) -> str:
        """Return what identifies the policy: the digest of its file, and of its normaliser's."""
        return "+".join(filter(None, [self.sha256, self.normalizer_sha256]))

    @property
    def recurrent(self) -> PolicyGraph | None:
        """Return the policy if it keeps a state; None: its action depends on the observation
        alone."""
        return self.network.graph if isinstance(self.network, RecurrentNetwork) else None

    @property
    def acting(self) -> Callable[[Array], Array] | Recurrent:
        """Return how it acts in episodes: `act`, or the tick of a policy with a state."""
        graph = self.recurrent
        if graph is None:
            return self.act
        return Recurrent(graph.step_graph.forward, graph.initial_state())

    def run(self, observations: Array) -> Array:
        """Return actions [N, m] for the observations [N, n] of one episode, one tick after another.

        Raises:
            UserError: as `act`.
        """
        graph = self.recurrent
        return self.act(observations) if graph is None else graph.run(observations)

    def act(self, observations: Array) -> Array:
        """Return deterministic actions [B, m] for observations [B, n], float32; if the policy
        chooses, the index of the choice with the greatest value, the first of equals, [B, 1].

        Raises:
            UserError: the observations have another size than the policy's, or it keeps a state.
        """
        outputs = self._outputs(observations)
        if self.choices is None or self.values_kind is None:
            return outputs
        return argmax(outputs.T).T + np.float32(self.choices.first)

    def values(self, observations: Array) -> Array | None:
        """Return Q-values or logits [B, choices] for observations [B, n], float32; None if the
        policy does not give them.

        Raises:
            UserError: the observations have another size than the policy's.
        """
        return None if self.values_kind is None else self._outputs(observations)

    @property
    def values_kind(self) -> str | None:
        """Return the kind of values that it gives, `q_values` or `logits`; None: it gives none."""
        return None if self.choices is None else self.choices.values

    def _outputs(self, observations: Array) -> Array:
        observations = np.asarray(observations, dtype=np.float32)
        if observations.ndim != 2 or observations.shape[1] != self.observation_size:
            raise UserError(
                f"observations of shape {observations.shape} do not fit a policy that takes "
                f"[batch, {self.observation_size}]; use the environment it was trained in"
            )
        return self.network(observations)


def without_argmax(network: Mlp, signals: JSON) -> tuple[Mlp, Choices | None]:
    """Return a student's network, without its argmax if its action is discrete, and its choices."""
    choices = choices_of(signals)
    if choices is None or network.activations[-1] != "argmax":
        return network, choices
    return network.before_argmax(), replace(choices, values=LOGITS)
