"""Imitation of choices in a distillation: the loss, its temperature and its requirements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.networks import Array
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.choices import LOGITS, Q_VALUES
from sparsectl.training.config import DistillConfig
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.policy_distillation.losses import LOSSES, Loss

METHOD = "policy-distillation"
DEFAULT_LOSS = "kl"
TEMPERATURES = {Q_VALUES: 0.01, LOGITS: 1.0}
"""Default temperatures of the KL loss: the paper's for Q-values, which have the scale of the
rewards; 1 for logits, whose softmax is the teacher's policy."""

NOT_OF_CHOICES = ("td3bc", "bc")
"""Methods that imitate the executed actions."""
LEAST_WIDTH = 1e-6
LEAST_TEMPERATURE = float(np.finfo(np.float32).tiny)
LEAST_DIFFERENCE = 1e-6
"""Values over the temperature that differ by less have the same share in float32."""


@dataclass(frozen=True)
class ChoiceTerm:
    """A loss over choices, for BPD and the fine-tunings.

    Attributes:
        loss: a name in `LOSSES`.
        temperature: that of the teacher's values, in the KL loss.
        centre, width: mean and standard deviation of all of the teacher's values, by which the
            squared error standardises them, so that the learning rate does not depend on the scale
            of rewards; the greatest value stays the greatest.
    """

    loss: str
    temperature: float
    centre: float = 0.0
    width: float = 1.0

    def __call__(self, outputs: Tensor, values: Tensor) -> Loss:
        """Return loss and gradient for outputs and values [..., choices]."""
        if self.centre or self.width != 1:
            values = (values - self.centre) / self.width
        return LOSSES[self.loss](outputs, values, self.temperature)

    def identity(self) -> dict[str, object]:
        """Return what identifies a run with this term, beside its dataset."""
        return {"loss": self.loss, "temperature": self.temperature}


def term_of(
    config: DistillConfig, dataset: Dataset, teacher: ActingPolicy | None
) -> ChoiceTerm | None:
    """Return the term that the config asks for; None: the dataset's actions are real numbers.

    Raises:
        UserError: a loss, a temperature or a method does not apply to the dataset's actions, or the
            teacher does not give the values that are needed; and as `check_loss`.
    """
    check_loss(config)
    if dataset.choices is None:
        _check_real(config, teacher)
        return None
    _check_choices(config, dataset, teacher)
    values, kind = dataset.teacher_values, dataset.metadata.get("values")
    loss = config.loss or (DEFAULT_LOSS if values is not None else "nll")
    if values is None and loss != "nll":
        raise UserError(
            f"{config.dataset} has only the teacher's choices, not the q_values or logits that "
            f"loss {loss} imitates; give --loss nll, or collect from a teacher that gives them"
        )
    _check_has_temperature(config, loss)
    temperature = config.temperature or TEMPERATURES.get(str(kind), 1.0)
    if values is not None:
        _check_values(config, values, temperature if loss == "kl" else None)
    if loss != "mse":
        return ChoiceTerm(loss, temperature)
    assert values is not None
    wide = values.astype("float64")
    return ChoiceTerm(loss, temperature, float(wide.mean()), max(float(wide.std()), LEAST_WIDTH))


def check_loss(config: DistillConfig) -> None:
    """Check the loss and its temperature, as far as that needs no dataset.

    Raises:
        UserError: the loss is not known or has no temperature, or that is not over 0 and finite.
    """
    if config.loss is not None and config.loss not in LOSSES:
        raise UserError(f"loss is {config.loss!r}; use one of {', '.join(LOSSES)}")
    if config.temperature is not None and not 0 < config.temperature < float("inf"):
        raise UserError(f"temperature is {config.temperature:g}; give a finite number over 0")
    if config.temperature is not None and config.temperature < LEAST_TEMPERATURE:
        raise UserError(
            f"temperature is {config.temperature:g}, which is 0 in float32; give "
            f"{LEAST_TEMPERATURE:.2g} or more, or --loss nll, which takes the best choice alone"
        )
    if config.loss is not None:
        _check_has_temperature(config, config.loss)


def _check_has_temperature(config: DistillConfig, loss: str) -> None:
    if config.temperature is not None and loss != "kl":
        raise UserError(
            f"temperature is {config.temperature:g}, but loss {loss} has none; leave it out, or "
            "give --loss kl"
        )


def _check_values(config: DistillConfig, values: Array, temperature: float | None) -> None:
    """Check that the values tell choices apart, over a temperature if there is one."""
    differences = np.ptp(values.astype(np.float64), axis=1)
    largest = float(differences.max())
    if largest == 0:
        raise UserError(
            f"{config.dataset}: the teacher gives all choices of a row the same value, in every "
            "row; collect from a teacher that prefers some"
        )
    if temperature is not None and largest / temperature < LEAST_DIFFERENCE:
        raise UserError(
            f"temperature is {temperature:g}, but the teacher's values of a row in "
            f"{config.dataset} differ by at most {largest:g}: all choices would be equally good; "
            f"give at most {largest:.2g}"
        )


def check_for_real(config: DistillConfig, source: object) -> None:
    """Check that the settings suit continuous actions.

    source: the dataset or the environment that has them, for messages.

    Raises:
        UserError: the method, the loss or the temperature is for choices.
    """
    if config.method == METHOD:
        raise UserError(
            f"method is {METHOD}, which imitates choices, but {source} has continuous "
            "actions; leave --method out, or collect from a teacher that chooses"
        )
    for name in ("loss", "temperature"):
        if (value := getattr(config, name)) is not None:
            raise UserError(
                f"{name} is {value}, which is for choices, but {source} has continuous "
                "actions; leave it out"
            )


def check_for_choices(config: DistillConfig, source: object) -> None:
    """Check that the settings suit choices.

    source: the dataset or the environment that has them, for messages.

    Raises:
        UserError: the method, or a critic, is for continuous actions.
    """
    if config.method in NOT_OF_CHOICES:
        raise UserError(
            f"method is {config.method}, which is for continuous actions, but "
            f"{source} has choices; use --method {METHOD}"
        )
    if config.value_weight or config.critics is not None:
        name = "value_weight" if config.value_weight else "critics"
        raise UserError(
            f"{name} is {getattr(config, name)}, but critics need continuous actions, and "
            f"{source} has choices; leave it out"
        )


def _check_real(config: DistillConfig, teacher: ActingPolicy | None) -> None:
    check_for_real(config, config.dataset)
    if teacher is not None and teacher.choices is not None:
        raise UserError(
            f"{config.teacher} takes one of a few choices, but {config.dataset} has "
            "continuous actions; give the teacher that the dataset was collected from"
        )


def _check_choices(config: DistillConfig, dataset: Dataset, teacher: ActingPolicy | None) -> None:
    check_for_choices(config, config.dataset)
    if teacher is None:
        return
    if teacher.choices is None:
        raise UserError(
            f"{config.teacher} has continuous actions, but {config.dataset} has choices; give the "
            "teacher that the dataset was collected from"
        )
    kind = dataset.metadata.get("values") if dataset.teacher_values is not None else None
    if teacher.values_kind != kind:
        raise UserError(
            f"{config.teacher} gives {teacher.values_kind or 'choices alone'}, but "
            f"{config.dataset} has {kind or 'choices alone'}; collect from that teacher"
        )
