"""Bayesian Policy Distillation: students that are faithful, good and sparse, from data alone.

Kim, Jang, Park, Gil, Han: "Bayesian policy distillation: Towards lightweight and fast neural policy
networks", Engineering Applications of Artificial Intelligence 166 (2026) 113539. A student's
weights are Gaussian; its loss over a minibatch M of the teacher's dataset D is

    L = -λ Q1(s, π(s)) + |D|/M Σ (π(s_m) - a_m)² + η KL(q(ω|θ,α) ‖ p(ω)),   λ = h |D| / mean|Q1|

with twin critics Q1, Q2 trained beside it as in TD3. Weights that are mostly noise (log α at or
over a threshold) are cut. Observations and actions are normalised by the signals throughout, or,
as the paper has them, in physical units.

Where actions are choices the squared error is a loss over these (policy_distillation/), without a
value term; the divergence and the noise are the same.

S students, of several seeds or KL weights, are trained at once, each exactly as if it were alone:
it has its own critics, minibatches and noise. One student is S = 1. Critics that were fitted to the
teacher before are shared by all and not trained any more.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sparsectl.policy.signals_json import image_of, normaliser
from sparsectl.policy.student_file import StudentLayer
from sparsectl.training.bpd.fitted_critics import FittedCritics
from sparsectl.training.bpd.schedules import SCHEDULES
from sparsectl.training.data.batches import Batch, Batches
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.nn.critics import DTYPES, TwinCritics
from sparsectl.training.nn.flat import FlatAdam, flat_values
from sparsectl.training.nn.noise import Noise
from sparsectl.training.policy_distillation.heads import Term
from sparsectl.training.settings import BpdSettings
from sparsectl.training.students.images import convolution_of, widths
from sparsectl.training.students.passes import pass_of
from sparsectl.training.students.penalties import WEIGHT_COSTS
from sparsectl.training.students.registry import STUDENTS, Student
from sparsectl.training.students.variational import NOISES, VariationalStudent


class BayesianPolicyDistillation:
    """Students, critics, their target networks and optimisers; `update` is one step of the paper's
    loop.

    Args:
        dataset: the teacher's transitions.
        signals: names, units and scales; the normaliser.
        settings: by default the paper's.
        seeds: one per student, for its initial weights, minibatches and weight noise.
        device: where all tensors are.
        kl_multipliers: one per student, instead of the one in the settings.
        fitted: fitted critics, instead of critics that are trained beside the students.
        term: the loss over choices, if actions are choices; None: the squared error to the
            teacher's actions.

    Attributes:
        losses: by name, each [S], of the last update.
        kl_multipliers: [S]; may be changed between updates.
    """

    def __init__(
        self,
        dataset: Dataset,
        signals: dict[str, Any],
        settings: BpdSettings,
        seeds: Sequence[int],
        device: torch.device,
        kl_multipliers: Sequence[float] | None = None,
        fitted: FittedCritics | None = None,
        term: Term | None = None,
    ) -> None:
        self.settings = settings
        self.term = term
        self.steps_done = 0
        physical = settings.units == "physical"
        self.live = bool(settings.value_weight) and fitted is None
        self.batches = Batches(
            *(dataset, signals, settings.batch_size, device),
            physical=physical,
            successors=self.live,
        )
        _, _, *bounds, _, _ = (torch.from_numpy(part).to(device) for part in normaliser(signals))
        self._bounds = bounds if physical else None
        self.randoms = [torch.Generator(device).manual_seed(2 * seed + 1) for seed in seeds]
        # On the CPU: the same on every device.
        starts = [torch.Generator().manual_seed(2 * seed) for seed in seeds]
        n, m = self.batches.observation_size, self.batches.action_size
        self.convolution = convolution_of(image_of(signals), settings.channels)
        after = (*settings.hidden, self.batches.label_size)
        sizes = widths(n, self.convolution, settings.channels, after)
        kind, begun = STUDENTS[settings.student], (settings.weight_std, settings.log_sigma_start)
        self.student = kind(sizes, starts, *begun, self.convolution).to(device)
        self.student.squashed = term is None
        if isinstance(self.student, VariationalStudent):
            self.student.use(NOISES[settings.noise])
        rows, dtype = settings.batch_size, DTYPES[settings.critic_dtype]
        self.critics = TwinCritics(
            (n + m, *settings.critic_hidden, 1),
            starts,
            rows,
            settings.critic_learning_rate,
            dtype,
            device,
        )
        shared = fitted and fitted.for_students(len(seeds), rows, dtype, device)
        self.first = shared or self.critics.first
        self.student_adam = FlatAdam(self.student, settings.learning_rate)
        self.acting = pass_of(self.student, rows, dtype)
        self.target = Target(self.student, rows, dtype)
        drawn = self.student.noise_widths(sizes)
        self.noise = Noise(drawn, len(seeds), rows, device, dtype)
        self.target_noise = Noise(drawn, len(seeds), rows, device, dtype)
        self.divergence = partial(WEIGHT_COSTS[settings.prior], scale=settings.prior_scale)
        self.schedule = SCHEDULES[settings.kl_schedule]
        multipliers = kl_multipliers or [settings.kl_multiplier] * len(seeds)
        self.kl_multipliers = torch.tensor(multipliers, device=device)
        self.losses: dict[str, Tensor] = {}

    def update(self) -> None:
        """Update the critics on one minibatch and, every second time, the students and the target
        networks."""
        students_turn = self.steps_done % self.settings.student_interval == 0
        if self.live or students_turn:
            turn = self.steps_done // self.settings.student_interval
            batch = self.batches.sample(self.randoms, turn)
        if self.live:
            self._update_critics(batch)
        if students_turn:
            self._update_students(batch)
            self._soft_update()
        self.steps_done += 1

    @torch.no_grad()
    def _update_critics(self, batch: Batch) -> None:
        # The target policy stays in training mode: the noise of its weights smooths the target.
        noise = self.target_noise.draw(self.randoms)
        next_actions = self._in_units(self.target(batch.next_observations, noise))
        self.losses["critics"] = self.critics.learn(
            batch.state_action,
            batch.next_observations,
            next_actions,
            batch.rewards,
            self.settings.discount * batch.not_done,
        )

    @torch.no_grad()
    def _update_students(self, batch: Batch) -> None:
        """Take a gradient step on the students' loss, with gradients in the actions in closed
        form."""
        sampled = self.acting.actions(batch.observations, self.noise.draw(self.randoms))
        gradient = (
            self._action_gradient(batch, sampled)
            if self.term is None
            else self._choice_gradient(self.term, batch, sampled)
        )
        divergences = self.acting.backward(gradient, self.divergence, self.kl_weights())
        self.student_adam.apply()
        self.acting.refresh()
        self.losses["divergence"] = divergences

    def _action_gradient(self, batch: Batch, sampled: Tensor) -> Tensor:
        """Return the gradients of value term and squared error with respect to the students'
        outputs, [S, B, m]."""
        actions = self._in_units(sampled)
        difference = actions - batch.labels
        terms = difference.shape[1] * (actions.shape[2] if self.settings.imitation == "mean" else 1)
        gradient = difference * (2 * len(self.batches) / terms)
        if self.settings.value_weight:
            gradient += self._value_gradient(batch.observations, actions)
        if self._bounds is not None:
            gradient *= self._bounds[1]  # now in what the student gives, from -1 to 1
        self.losses["imitation"] = difference.square().sum(dim=(1, 2)) / terms
        return gradient

    def _choice_gradient(self, term: Term, batch: Batch, outputs: Tensor) -> Tensor:
        """Return the gradients of |D|/M Σ loss with respect to the students' outputs, [S, B,
        choices]."""
        loss = term(outputs, batch.labels)
        self.losses["imitation"] = loss.value.mean(dim=1)
        return loss.gradient * (len(self.batches) / outputs.shape[1])

    def _in_units(self, actions: Tensor) -> Tensor:
        """Convert students' actions from -1 … 1 to the units of the minibatches."""
        return actions if self._bounds is None else actions * self._bounds[1] + self._bounds[0]

    def _value_gradient(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Return the gradients of -λ mean Q1 with respect to the actions, [S, B, m]."""
        q1, gradient = self.first.value_and_gradient(observations, actions)
        self.losses["q1"] = q1.mean(dim=1)
        lambda_ = self.settings.value_weight * len(self.batches) / q1.abs().mean(dim=1)
        return gradient * (-lambda_ / q1.shape[1])[:, None, None]

    @torch.no_grad()
    def _soft_update(self) -> None:
        if self.live:
            self.target.soft_update(self.student_adam.values, self.settings.target_rate)
            self.critics.soft_update(self.settings.target_rate)

    def kl_weights(self) -> Tensor:
        """Return each student's present η, [S]."""
        settings = self.settings
        progress = min(self.steps_done / settings.steps, 1.0)
        return self.kl_multipliers * self.schedule(progress, settings.kl_rate, settings.kl_cap)

    def posterior(self, student: int = 0) -> tuple[StudentLayer, ...]:
        """Return a student's present layers."""
        return self.student.posterior(student)

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next update depends on, except the dataset and the number of
        steps."""
        return {
            **self.student_adam.state("student"),
            **self.critics.state(),
            "target_student": self.target.values,
            "kl_multipliers": self.kl_multipliers,
            "random": torch.stack([random.get_state() for random in self.randoms]),
        }

    def load(self, state: dict[str, Tensor], steps_done: int) -> None:
        """Continue from a checkpoint."""
        for random, its in zip(self.randoms, state["random"], strict=True):
            random.set_state(its.clone())  # it reads from the start of the memory
        with torch.no_grad():
            for name, tensor in self.state().items():
                if name != "random":
                    tensor.copy_(state[name])
        self.critics.loaded()
        self.acting.refresh()
        self.target.refresh()
        self.steps_done = steps_done


class Target:
    """A copy of the students that follows them slowly: the policy in the critics' targets.

    Attributes:
        values: [P], its parameters.
    """

    def __init__(self, student: Student, rows: int, dtype: torch.dtype) -> None:
        network = copy.deepcopy(student).requires_grad_(False)
        self.values = flat_values(network)
        self._pass = pass_of(network, rows, dtype)

    def __call__(self, observations: Tensor, noise: list[Tensor]) -> Tensor:
        """Return sampled actions [S, B, m] for observations [S, B, n]."""
        return self._pass.actions(observations, noise)

    def soft_update(self, values: Tensor, rate: float) -> None:
        """Move by this share towards the students' parameters."""
        self.values.lerp_(values, rate)
        self.refresh()

    def refresh(self) -> None:
        """Call this after `values` has been changed."""
        self._pass.refresh()
