"""Bayesian Policy Distillation: a student that is faithful, good and sparse, from data alone.

Kim, Jang, Park, Gil, Han: "Bayesian policy distillation: Towards lightweight and fast neural policy
networks", Engineering Applications of Artificial Intelligence 166 (2026) 113539. The student's
weights are Gaussian; its loss over a minibatch M of the teacher's dataset D is

    L = -λ Q1(s, π(s)) + |D|/M Σ (π(s_m) - a_m)² + η KL(q(ω|θ,α) ‖ p(ω)),   λ = h |D| / mean|Q1|

with twin critics Q1, Q2 trained beside it as in TD3. Weights that are mostly noise (log α at or
over a threshold) are cut. Observations and actions are normalised by the signals throughout.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from training.batches import Batch, Batches
from training.config import BpdSettings
from training.critics import TwinCritics
from training.dataset import Dataset
from training.flat import FlatAdam, flat_values
from training.priors import PRIORS
from training.schedules import SCHEDULES
from training.students.storage import StudentLayer
from training.students.variational import VariationalStudent

Module = TypeVar("Module", bound=nn.Module)


class BayesianPolicyDistillation:
    """Student, critics, their targets and optimisers; `update` is one step of the paper's loop.

    Args:
        dataset: the teacher's transitions.
        signals: names, units and scales; the normaliser.
        settings: the paper's by default.
        seed: of the start, the minibatches and the weight noise.
        device: where everything lives.
    """

    def __init__(
        self,
        dataset: Dataset,
        signals: dict[str, Any],
        settings: BpdSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self.settings = settings
        self.steps_done = 0
        self.batches = Batches(dataset, signals, settings.batch_size, device)
        self.random = torch.Generator(device).manual_seed(2 * seed + 1)
        start = torch.Generator().manual_seed(2 * seed)  # on the CPU: the same on every device
        n, m = self.batches.observation_size, self.batches.action_size
        self.student = VariationalStudent(
            (n, *settings.hidden, m), start, settings.weight_std, settings.log_sigma_start
        ).to(device)
        self.critics = TwinCritics(n + m, settings.critic_hidden, start).to(device)
        self.student_adam = FlatAdam(self.student, settings.learning_rate)
        self.critics_adam = FlatAdam(self.critics, settings.critic_learning_rate)
        self.target_student, self.target_student_values = _target(self.student)
        self.target_critics, self.target_critics_values = _target(self.critics)
        self.divergence = partial(PRIORS[settings.prior], scale=settings.prior_scale)
        self.schedule = SCHEDULES[settings.kl_schedule]
        self.losses: dict[str, Tensor] = {}

    def update(self) -> None:
        """One minibatch: the critics, and every second time the student and the targets."""
        students_turn = self.steps_done % self.settings.student_interval == 0
        if self.settings.value_weight or students_turn:
            batch = self.batches.sample(self.random)
        if self.settings.value_weight:
            self._update_critics(batch)
        if students_turn:
            self._update_student(batch)
            self._follow()
        self.steps_done += 1

    def _update_critics(self, batch: Batch) -> None:
        with torch.no_grad():
            # The target policy stays in training mode: the noise of its weights smooths the target.
            next_actions = self.target_student(batch.next_observations, self.random)
            after = torch.cat([batch.next_observations, next_actions], dim=1)
            worst = self.target_critics(after).amin(dim=0)
            target = batch.rewards + self.settings.discount * batch.goes_on * worst
        values = self.critics(batch.state_action)
        loss = 2 * mse_loss(values, target.expand_as(values))  # the sum of both critics' errors
        self.critics_adam.step(loss)
        self.losses["critics"] = loss.detach()

    def _update_student(self, batch: Batch) -> None:
        actions = self.student(batch.observations, self.random)
        size = float(len(self.batches))
        imitation = size * (actions - batch.labels).square().sum(dim=1).mean()
        divergence = self.student.divergence(self.divergence)
        loss = imitation + self.kl_weight() * divergence
        if self.settings.value_weight:
            q1 = self.critics.first(torch.cat([batch.observations, actions], dim=1))
            lambda_ = self.settings.value_weight * size / q1.detach().abs().mean()
            loss = loss - lambda_ * q1.mean()
            self.losses["q1"] = q1.detach().mean()
        self.student_adam.step(loss)
        self.losses |= {
            "imitation": imitation.detach() / size,
            "divergence": divergence.detach(),
            "student": loss.detach() / size,
        }

    @torch.no_grad()
    def _follow(self) -> None:
        rate = self.settings.target_rate
        self.target_student_values.lerp_(self.student_adam.values, rate)
        self.target_critics_values.lerp_(self.critics_adam.values, rate)

    def kl_weight(self) -> float:
        """η as it is now."""
        settings = self.settings
        progress = min(self.steps_done / settings.steps, 1.0)
        eta = self.schedule(progress, settings.kl_rate, settings.kl_cap)
        return settings.kl_multiplier * eta

    def posterior(self) -> tuple[StudentLayer, ...]:
        """The student's layers as they are now."""
        return self.student.posterior()

    def state(self) -> dict[str, Tensor]:
        """All that the next update depends on, but the dataset and the count of steps."""
        return {
            **self.student_adam.state("student"),
            **self.critics_adam.state("critics"),
            "target_student": self.target_student_values,
            "target_critics": self.target_critics_values,
            "random": self.random.get_state(),
        }

    def load(self, state: dict[str, Tensor], steps_done: int) -> None:
        """Go on from a checkpoint."""
        self.random.set_state(state["random"])
        with torch.no_grad():
            for name, tensor in self.state().items():
                if name != "random":
                    tensor.copy_(state[name])
        self.steps_done = steps_done


def _target(module: Module) -> tuple[Module, Tensor]:
    """A copy that follows slowly, and its parameters in one tensor."""
    target = copy.deepcopy(module).requires_grad_(False)
    return target, flat_values(target)
