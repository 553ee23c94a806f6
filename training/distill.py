"""`sparsectl distill`: a teacher's dataset in, a sparse student out, stage by stage.

Stages: distillation (bpd.py), then fine-tuning under the mask (finetune.py), both with rounds of
student-driven data (dagger.py) where an environment and a teacher are given. A run goes on from its
checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from common.errors import UserError
from common.provenance import provenance
from training.bpd import BayesianPolicyDistillation
from training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from training.config import DistillConfig
from training.dagger import student_driven
from training.dataset import ARRAYS, Dataset, joined, read_dataset, write_dataset
from training.figures import check_alive, layer_figures, masked
from training.finetune import Finetuning
from training.loop import Loop, Stop, Trainer, stop_on_interrupt
from training.policy import Policy, load_policy
from training.presets import Preset, resolved
from training.rollouts import MEASURE, Rollouts
from training.signals import standardised
from training.students.masked import kept_weights, live_biases
from training.students.storage import StudentFile, StudentLayer, write_student

JSON = dict[str, Any]

LOGS_A_STAGE = 100
STEPS_A_LOG = 20
"""At least."""

RETURN_SECONDS = 20.0
"""Between returns for TensorBoard, so that measuring them stays a small part of the time."""

LOGGED_EPISODES = 5
FINETUNE_SEEDS = 1_000_003
"""Between the seeds of one round's minibatches and the next's."""


def distill(config: DistillConfig) -> JSON:
    """Distil and write `student.safetensors` under `config.out`.

    Returns:
        dict: student (path), kept_weights, kept_biases, teacher_parameters, kept_fraction, seconds,
        teacher_return (where there is a teacher and an environment), and steps: for each stage its
        name, kept_weights, imitation_error and, in an environment, return_mean and return_min.

    Raises:
        UserError: a setting or file does not fit, training diverged or cut every weight, or SIGINT.
    """
    torch.set_num_threads(1)  # two threads collapse when another process is busy
    preset = resolved(config)
    dataset = read_dataset(config.dataset)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_interrupt())
        workers = config.workers or os.cpu_count() or 1
        rollouts = stack.enter_context(Rollouts(config.env, workers)) if config.env else None
        run = Distillation(config, preset, dataset, rollouts, stop)
        stack.callback(run.board.close)
        return run.run()


class Distillation:
    """One run: its stages in order, and what its checkpoint holds."""

    def __init__(
        self,
        config: DistillConfig,
        preset: Preset,
        dataset: Dataset,
        rollouts: Rollouts | None,
        stop: Stop,
    ) -> None:
        self.config = config
        self.preset = preset
        self.rollouts = rollouts
        self.teacher = load_policy(config.teacher) if config.teacher else None
        self.teacher_facts = _teacher_facts(dataset, self.teacher)
        self.identity = _identity(config, preset, dataset, self.teacher)
        self.environment = config.env or dataset.metadata.get("environment")
        self.signals = standardised(dataset.signals, dataset.observations)
        self.device = _device(config.device)
        self.parts = [dataset]
        self.bpd = BayesianPolicyDistillation(
            dataset, self.signals, preset.bpd, [config.seed], self.device
        )
        self.finetuning: Finetuning | None = None
        self.finetune_number = 0
        self.stages = self._stages()
        self.stage = 0
        self.report: list[JSON] = []
        self.started = self.returned_at = time.monotonic()
        self._begin()
        self.board = _board(config.out / "tensorboard")
        self.loop = Loop(self.save, stop, self.board, config.checkpoint_seconds)

    def run(self) -> JSON:
        """Do the stages that are left and write the student."""
        for name, work in self.stages[self.stage :]:
            work()
            self.report.append(self._measured(name))
            self.stage += 1
            self.save()
        return self._result()

    def _stages(self) -> list[tuple[str, Callable[[], None]]]:
        stages: list[tuple[str, Callable[[], None]]] = [("bpd", self._distil)]
        for number in range(1, self.preset.dagger.rounds + 1):
            stages.append((f"dagger-{number}", partial(self._dagger, number)))
        if self.preset.finetune.steps:
            stages.append(("finetune", partial(self._finetune, 0)))
            for number in range(1, self.preset.finetune.rounds + 1):
                stages.append((f"finetune-{number}", partial(self._finetune, number)))
        return stages

    def _distil(self) -> None:
        self._train("bpd", self.bpd, self.preset.bpd.steps)

    def _dagger(self, number: int) -> None:
        self._add_round(number)
        until = self.preset.bpd.steps + number * self.preset.dagger.steps
        self._train(f"dagger-{number}", self.bpd, until)

    def _finetune(self, number: int) -> None:
        if self.finetuning is None or self.finetune_number != number:
            if number:
                self._add_round(self.preset.dagger.rounds + number)
            self._begin_finetuning(number)
        assert self.finetuning is not None
        self._train(self.stages[self.stage][0], self.finetuning, self.preset.finetune.steps)

    def _train(self, name: str, trainer: Trainer, until: int) -> None:
        every = max(STEPS_A_LOG, until // LOGS_A_STAGE)
        self.loop.run(trainer, until, name, every, partial(self._figures, trainer))

    def _add_round(self, number: int) -> None:
        assert self.rollouts is not None and self.teacher is not None
        path = self.config.out / "rounds" / f"round-{number}.npz"
        if not path.exists():
            settings, seed = self.preset.dagger, self.config.seed
            student, teacher = self.policy(), self.teacher
            made = student_driven(student, teacher, self.rollouts, settings, seed, number)
            write_dataset(path, made)
        data = read_dataset(path)
        self.parts.append(data)
        self.bpd.batches.extend(data)

    def _begin_finetuning(self, number: int) -> None:
        data, layers = joined(self.parts), self.layers()
        seed = self.config.seed + number * FINETUNE_SEEDS
        settings = self.preset.finetune
        self.finetuning = Finetuning(data, self.signals, layers, settings, seed, self.device)
        self.finetune_number = number

    def layers(self) -> tuple[StudentLayer, ...]:
        """The student as it is now, masked.

        Raises:
            UserError: no weight is left.
        """
        if self.finetuning is not None:
            return self.finetuning.layers()
        layers = masked(self.bpd.posterior(), self.preset.bpd.log_alpha_threshold)
        check_alive(layers, self.preset.bpd.kl_multiplier, self.bpd.steps_done)
        return layers

    def policy(self) -> Policy:
        """The student as it is now, acting in physical units."""
        network = self._file().network()
        size = sum(array.size for array in (*network.weights, *network.biases))
        return Policy(network, size, "", self.signals, self.environment)

    def save(self) -> None:
        """Write the checkpoint."""
        tensors = {f"bpd/{name}": tensor for name, tensor in self.bpd.state().items()}
        steps = {"bpd": self.bpd.steps_done}
        if self.finetuning is not None:
            state = self.finetuning.state()
            tensors |= {f"finetune/{name}": tensor for name, tensor in state.items()}
            steps["finetune"] = self.finetuning.steps_done
            steps["finetune_number"] = self.finetune_number
        seconds = time.monotonic() - self.started
        checkpoint = Checkpoint(self.identity, self.stage, steps, self.report, seconds, tensors)
        write_checkpoint(self._checkpoint_path, checkpoint)

    @property
    def _checkpoint_path(self) -> Path:
        return self.config.out / "checkpoint.safetensors"

    def _begin(self) -> None:
        """Go on from the checkpoint, or clear what an earlier run left."""
        if self._checkpoint_path.exists() and not self.config.restart:
            self._resume(read_checkpoint(self._checkpoint_path))
            return
        for name in ("rounds", "tensorboard"):
            shutil.rmtree(self.config.out / name, ignore_errors=True)
        self._checkpoint_path.unlink(missing_ok=True)

    def _resume(self, checkpoint: Checkpoint) -> None:
        if checkpoint.run != self.identity:
            changed = sorted(
                key for key, value in self.identity.items() if checkpoint.run.get(key) != value
            )
            raise UserError(
                f"{self.config.out} holds a run with another {', '.join(changed)}; "
                "give another --out, or --restart to begin anew"
            )
        self.stage, self.report = checkpoint.stage, checkpoint.report
        self.started -= checkpoint.seconds
        number = checkpoint.steps.get("finetune_number", 0)
        for name, _ in self.stages[: self.stage]:
            if name.startswith("dagger-"):
                self._add_round(int(name.removeprefix("dagger-")))
        for finetune_round in range(1, number + 1):
            self._add_round(self.preset.dagger.rounds + finetune_round)
        self.bpd.load(_part(checkpoint, "bpd/"), checkpoint.steps["bpd"])
        if "finetune" in checkpoint.steps:
            self._begin_finetuning(number)
            assert self.finetuning is not None
            self.finetuning.load(_part(checkpoint, "finetune/"), checkpoint.steps["finetune"])

    def _figures(self, trainer: Trainer) -> dict[str, float]:
        threshold = self.preset.bpd.log_alpha_threshold
        figures = {}
        if trainer is self.bpd:
            if 2 * trainer.steps_done >= self.preset.bpd.steps:
                self.layers()  # raises where no weight is left; before, η is still small
            figures = layer_figures(self.bpd.posterior(), threshold)
            figures["kl_weight"] = self.bpd.kl_weights().item()
        alive = figures.get("kept_weights", 1) > 0
        due = time.monotonic() - self.returned_at > RETURN_SECONDS
        if self.rollouts is not None and alive and due:
            returns = self.rollouts.returns(self.policy(), (MEASURE, 1), LOGGED_EPISODES)
            figures["return"] = float(returns.mean())
            self.returned_at = time.monotonic()
        return figures

    def _measured(self, name: str) -> JSON:
        layers = self.layers()
        trainer = self.bpd if self.finetuning is None else self.finetuning
        entry: JSON = {
            "name": name,
            "steps": trainer.steps_done,
            "transitions": sum(len(part) for part in self.parts),
            "kept_weights": kept_weights(layers),
            "imitation_error": self._imitation_error(),
        }
        if self.rollouts is not None:
            returns = self.rollouts.returns(self.policy(), (MEASURE, 0), self.config.episodes)
            entry["return_mean"] = float(returns.mean())
            entry["return_min"] = float(returns.min())
            self.board.add_scalar(f"{name}/return", entry["return_mean"], trainer.steps_done)
        return entry

    def _imitation_error(self) -> float:
        """Mean squared difference from the teacher over all transitions, in units of the action."""
        data = joined(self.parts)
        difference = self.policy().act(data.observations) - data.teacher_actions
        return float((difference**2).sum(axis=1).mean())

    def _file(self) -> StudentFile:
        layers = self.layers()
        activations = ["relu"] * (len(layers) - 1) + ["tanh"]
        return StudentFile(
            layers,
            {
                "activations": activations,
                "log_alpha_threshold": self.preset.bpd.log_alpha_threshold,
                "signals": self.signals,
                "config": self.identity,
                "seed": self.config.seed,
                "provenance": provenance(),
                "teacher": self.teacher_facts,
                "environment": self.environment,
                "kept_weights": kept_weights(layers),
                "steps": self.report,
            },
        )

    def _result(self) -> JSON:
        path = self.config.out / "student.safetensors"
        student = self._file()
        write_student(path, student)
        parameters = (self.teacher_facts or {}).get("parameters")
        result = {
            "student": str(path),
            "kept_weights": student.kept_weights,
            "kept_biases": live_biases(student.layers),
            "teacher_parameters": parameters,
            "kept_fraction": student.kept_weights / parameters if parameters else None,
            "seconds": time.monotonic() - self.started,
            "steps": self.report,
        }
        if self.rollouts is not None and self.teacher is not None:
            returns = self.rollouts.returns(self.teacher, (MEASURE, 0), self.config.episodes)
            result["teacher_return"] = float(returns.mean())
        return result


def _part(checkpoint: Checkpoint, prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in checkpoint.tensors.items()
        if name.startswith(prefix)
    }


def _teacher_facts(dataset: Dataset, teacher: Policy | None) -> JSON | None:
    if teacher is not None:
        return {"parameters": teacher.parameters, "sha256": teacher.sha256}
    facts: JSON | None = dataset.metadata.get("teacher")
    return facts


def _identity(
    config: DistillConfig, preset: Preset, dataset: Dataset, teacher: Policy | None
) -> JSON:
    """What makes two runs the same: what a checkpoint is compared by, and what is kept with it."""
    digest = hashlib.sha256()
    for name in ARRAYS:
        digest.update(getattr(dataset, name).tobytes())
    return {
        "method": config.method,
        "preset": config.preset,
        **json.loads(json.dumps(asdict(preset))),  # as a checkpoint gives it back: no tuples
        "environment": config.env,
        "teacher": teacher.sha256 if teacher else None,
        "seed": config.seed,
        "dataset": digest.hexdigest(),
    }


def _device(name: str) -> torch.device:
    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"device is {name!r}; give auto, cpu or cuda") from error
    if device.type == "cuda" and not available:
        raise UserError(f"device is {name!r} but torch sees no CUDA here; give cpu or auto")
    return device


def _board(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
