"""One run of a distillation, stage by stage.

Stages: distillation (bpd.py), then fine-tuning under the mask (finetuning/) down to the size that
is wanted (targets.py), both with rounds of student-driven data (dagger.py) where an environment
and a teacher are given. A run that was stopped continues from its checkpoint.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.networks import Mlp
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.student_file import (
    StudentFile,
    StudentLayer,
    read_student_file,
    write_student,
)
from sparsectl.training.bpd.bpd import BayesianPolicyDistillation
from sparsectl.training.bpd.fitted_critics import FittedCritics, shared_critics
from sparsectl.training.bpd.kl_control import controller_of, steered
from sparsectl.training.config import DistillConfig
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.distillation.evidence import Evidence
from sparsectl.training.distillation.figures import check_alive, counts, layer_figures, masked
from sparsectl.training.distillation.identity import facts_of
from sparsectl.training.distillation.interim import evidence_analyses
from sparsectl.training.distillation.measurement import Measurement
from sparsectl.training.distillation.methods import METHODS
from sparsectl.training.distillation.presets import Preset
from sparsectl.training.distillation.resolution import fitted
from sparsectl.training.distillation.stages import FINAL, Stage, Stages
from sparsectl.training.distillation.targets import UNCLEAR, target_of, verdict
from sparsectl.training.finetuning import finetuning_of
from sparsectl.training.finetuning.finetuning import Finetuning, start_layers, start_state
from sparsectl.training.finetuning.return_search import ReturnSearch
from sparsectl.training.nn.checkpoint import ANEW, Checkpoint, read_checkpoint, write_checkpoint
from sparsectl.training.nn.devices import chosen_device
from sparsectl.training.nn.loop import Loop, Stop, Trainer
from sparsectl.training.policy_distillation.heads import Term
from sparsectl.training.rollouts.dagger import AggregatedData
from sparsectl.training.rollouts.episodes import Rollouts

JSON = dict[str, Any]

TableBytes = Callable[[Path], int]
"""Maps a student's file to the bytes that it takes on a board."""

CHECKPOINT = "checkpoint.safetensors"

LOGS_A_STAGE = 100
STEPS_A_LOG = 20
"""At least."""

RETURN_SECONDS = 20.0
"""Time between returns for TensorBoard, so that measuring them takes a small part of the run."""

FINETUNE_SEEDS = 1_000_003
"""Distance between the seeds of the minibatches of two rounds."""


class Distillation:
    """One run: its stages in order, and the content of its checkpoint."""

    def __init__(
        self,
        config: DistillConfig,
        preset: Preset,
        dataset: Dataset,
        rollouts: Rollouts | None,
        stop: Stop,
        table_bytes: TableBytes | None,
        teacher: ActingPolicy | None,
        term: Term | None,
    ) -> None:
        self.config = config
        self.term = term
        dataset = METHODS[config.method].imitated(dataset)
        self.preset = preset = fitted(preset, config, dataset)
        self.table_bytes = table_bytes
        self.teacher = teacher
        self.facts = facts_of(config, preset, dataset, self.teacher, term)
        self.identity, self.signals = self.facts.identity, self.facts.signals
        self.device = chosen_device(config.device)
        self.data = AggregatedData(
            dataset, self.teacher, rollouts, preset.dagger, config.seed, config.out / "rounds"
        )
        critics = self._critics(dataset)
        self.bpd = BayesianPolicyDistillation(
            dataset, self.signals, preset.bpd, [config.seed], self.device, fitted=critics, term=term
        )
        self.finetuning: Finetuning | ReturnSearch | None = None
        self.rollouts = rollouts
        self.measurement = Measurement(rollouts, preset, self.teacher)
        self.teacher_return = self.measurement.teacher_return
        self.controller = controller_of(preset.bpd, self.teacher_return)
        self.stages = Stages(preset, target_of(config, preset.finetune))
        self.started = self.returned_at = time.monotonic()
        self.finetune_seconds: list[float] = []
        self._begin()
        self.board = _board(config.out / "tensorboard")
        self.loop = Loop(self.save, stop, self.board, config.checkpoint_seconds)

    def run(self) -> JSON:
        """Run the remaining stages and write the student."""
        work = {
            "bpd": self._distil,
            "dagger": self._dagger,
            "finetune": self._finetune,
            "search": self._search,
        }
        while (stage := self.stages.next()) is not None:
            work[stage.kind](stage)
            self.stages.report.append(self._measured(stage.name))
            self.save()
        self._measure_finalists()
        return self._result()

    def _critics(self, dataset: Dataset) -> FittedCritics | None:
        if self.config.critics is None or not self.preset.bpd.value_weight:
            return None
        settings, seed = self.preset.bpd, self.config.seed
        critics = shared_critics(self.config.critics, dataset, self.signals, settings, seed)
        self.identity["critics"] = hashlib.sha256(critics.values.numpy().tobytes()).hexdigest()
        return critics

    def _distil(self, stage: Stage) -> None:
        self._train(stage, self.bpd, self.preset.bpd.steps)

    def _dagger(self, stage: Stage) -> None:
        self.bpd.batches.extend(self._add_round(stage.data_round))
        until = self.preset.bpd.steps + stage.number * self.preset.dagger.steps
        self._train(stage, self.bpd, until)

    def _finetune(self, stage: Stage) -> None:
        begun = time.monotonic()
        if self.finetuning is None or self.finetuning.number != stage.number:
            if stage.data_round:
                self._add_round(stage.data_round, stage.tries)
            self._begin_finetuning(stage.number, stage.keep, self.layers())
        assert self.finetuning is not None
        self._train(stage, self.finetuning, self.finetuning.steps)
        self.finetune_seconds.append(time.monotonic() - begun)

    def _search(self, stage: Stage) -> None:
        if not isinstance(self.finetuning, ReturnSearch):
            self._measure_finalists()
            best = self._student_path(self.stages.chosen()["name"])
            self._begin_search(read_student_file(best).layers)
        assert self.finetuning is not None
        self._train(stage, self.finetuning, self.finetuning.steps)

    def _begin_search(self, layers: tuple[StudentLayer, ...]) -> None:
        assert self.finetuning is not None and self.config.env is not None
        before, policy = self.finetuning, self.facts.policy(self.facts.student(layers, []))
        assert isinstance(policy.network, Mlp)
        self.finetuning = ReturnSearch(
            self.config.env,
            self.data.parts[0].observations,
            layers,
            policy.network,
            self.preset.search,
            self.config.seed,
            before.keep,
            before.number,
        )

    def _train(self, stage: Stage, trainer: Trainer, until: int) -> None:
        every = max(STEPS_A_LOG, until // LOGS_A_STAGE)
        figures, left = partial(self._figures, trainer), self.stages.left(self.finetune_seconds)
        self.loop.run(trainer, until, stage.name, every, figures, left)

    def _add_round(self, number: int, tries: int = 1) -> Dataset:
        return self.data.add(number, self.policy, tries)

    def _begin_finetuning(self, number: int, keep: int, layers: tuple[StudentLayer, ...]) -> None:
        # The table of the stage before is as large as the one to come.
        self.bpd.batches.clear()
        self.finetuning = None
        seed = self.config.seed + number * FINETUNE_SEEDS
        data, settings = self.data.all(self.teacher_return), self.preset.finetune
        self.finetuning = finetuning_of(settings, layers, self.term)(
            data, self.signals, layers, settings, seed, self.device, keep, number, self.term
        )

    def layers(self) -> tuple[StudentLayer, ...]:
        """Return the present student, masked.

        Raises:
            UserError: no weight is left.
        """
        if self.finetuning is not None:
            layers = self.finetuning.layers()
            check_alive(layers, f"by keep {self.finetuning.keep}", "a larger one")
            return layers
        layers = masked(self.bpd.posterior(), self.preset.bpd.log_alpha_threshold)
        setting = f"kl_multiplier {self.preset.bpd.kl_multiplier:g}"
        mend = "a smaller one, or more steps"
        check_alive(layers, f"by step {self.bpd.steps_done} with {setting}", mend)
        return layers

    def policy(self) -> ActingPolicy:
        """Return the present student as a policy in physical units."""
        return self.facts.policy(self.facts.student(self.layers(), self.stages.report))

    def save(self) -> None:
        """Write the checkpoint."""
        tensors = {f"bpd/{name}": tensor for name, tensor in self.bpd.state().items()}
        steps = {"bpd": self.bpd.steps_done}
        if self.finetuning is not None:
            state = self.finetuning.state() | start_state(self.finetuning.start)
            tensors |= {f"finetune/{name}": tensor for name, tensor in state.items()}
            steps["finetune"] = self.finetuning.steps_done
            steps["finetune_number"] = self.finetuning.number
            steps["finetune_keep"] = self.finetuning.keep
            steps["search"] = int(isinstance(self.finetuning, ReturnSearch))
        seconds = time.monotonic() - self.started
        report = self.stages.report
        checkpoint = Checkpoint(self.identity, len(report), steps, report, seconds, tensors)
        write_checkpoint(self._checkpoint_path, checkpoint)

    @property
    def _checkpoint_path(self) -> Path:
        return self.config.out / CHECKPOINT

    def _begin(self) -> None:
        """Continue from the checkpoint, or clear what an earlier run left."""
        if self._checkpoint_path.exists() and not self.config.restart:
            self._resume(read_checkpoint(self._checkpoint_path))
            return
        for name in ("rounds", "students", "tensorboard"):
            shutil.rmtree(self.config.out / name, ignore_errors=True)
        self._checkpoint_path.unlink(missing_ok=True)

    def _resume(self, checkpoint: Checkpoint) -> None:
        if checkpoint.run != self.identity:
            keys = sorted({*self.identity, *checkpoint.run})
            changed = [k for k in keys if checkpoint.run.get(k) != self.identity.get(k)]
            raise UserError(
                f"{self.config.out} holds a run with a different {', '.join(changed)}; "
                f"give another --out; or {ANEW}"
            )
        self.stages.report = checkpoint.report
        self.started -= checkpoint.seconds
        daggers = min(len(checkpoint.report) - 1, self.preset.dagger.rounds)
        for number in range(1, daggers + 1):
            self.bpd.batches.extend(self._add_round(number))
        self.bpd.load(checkpoint.part("bpd/"), checkpoint.steps["bpd"])
        if "finetune" in checkpoint.steps:
            self._resume_finetuning(checkpoint)

    def _resume_finetuning(self, checkpoint: Checkpoint) -> None:
        number, state = checkpoint.steps["finetune_number"], checkpoint.part("finetune/")
        if self.preset.online:
            for finetune_round in range(1, number + 1):
                self._add_round(self.preset.dagger.rounds + finetune_round)
        self._begin_finetuning(
            number, checkpoint.steps["finetune_keep"], start_layers(state, self.bpd.convolution)
        )
        if checkpoint.steps.get("search"):
            self._begin_search(start_layers(state, self.bpd.convolution))
        assert self.finetuning is not None
        self.finetuning.load(state, checkpoint.steps["finetune"])

    def _figures(self, trainer: Trainer) -> dict[str, float]:
        figures = {}
        if trainer is self.bpd:
            if 2 * trainer.steps_done >= self.preset.bpd.steps:
                self.layers()  # raises where no weight is left; before, η is still small
            figures = layer_figures(self.bpd.posterior(), self.preset.bpd.log_alpha_threshold)
            figures["kl_weight"] = self.bpd.kl_weights().item()
            figures |= self._steered(figures)
        alive = figures.get("kept_weights", 1) > 0
        due = time.monotonic() - self.returned_at > RETURN_SECONDS
        if alive and due:
            figures |= self.measurement.logged(self.policy())
            self.returned_at = time.monotonic()
        return figures

    def _steered(self, figures: dict[str, float]) -> dict[str, float]:
        """Adjust the divergence's weight if there is a target for it; return what was measured for
        it."""
        if self.controller is None:
            return {}
        measured: dict[str, float] = {}
        progress = self.bpd.steps_done / self.preset.bpd.steps
        if self.controller.wants_return and figures["kept_weights"]:
            measured = self.measurement.logged(self.policy())
        known = figures | measured | {"progress": progress}
        self.bpd.kl_multipliers *= steered(self.controller, known, self.preset.bpd)
        return measured

    def _measured(self, name: str) -> JSON:
        """Return the entry of a finished stage; a fine-tuned student is written to `students/`."""
        student = self.facts.student(self.layers(), self.stages.report)
        policy = self.facts.policy(student)
        trainer = self.bpd if self.finetuning is None else self.finetuning
        entry: JSON = {
            "name": name,
            "steps": trainer.steps_done,
            "transitions": len(self.data),
            "kept_weights": student.kept_weights,
            "imitation_error": self.data.imitation_error(policy),
        }
        judged = self.finetuning is not None and self.stages.judged(student.kept_weights)
        entry |= self.measurement.of_stage(policy, judged, self.stages.clear)
        if "return_mean" in entry:
            self.board.add_scalar(f"{name}/return", entry["return_mean"], trainer.steps_done)
        if self.finetuning is not None:
            entry["keep"] = self.finetuning.keep
            write_student(self._student_path(name), student)
            if self.table_bytes is not None:
                entry["table_bytes"] = self.table_bytes(self._student_path(name))
        return entry

    def _measure_finalists(self) -> None:
        """Measure the finalists and add the figures to their entries."""
        for entry in self.stages.finalists():
            if f"{FINAL}return_mean" not in entry:
                self.loop.grant_stop(f"before {entry['name']} was measured as a finalist")
                student = read_student_file(self._student_path(entry["name"]))
                figures = self.measurement.final(self.facts.policy(student))
                entry |= {FINAL + name: value for name, value in figures.items()}
                self.save()

    def _student_path(self, name: str) -> Path:
        return self.config.out / "students" / f"{name}.safetensors"

    def _result(self) -> JSON:
        chosen = self.stages.chosen()
        name, path = chosen["name"], self.config.out / "student.safetensors"
        written = self._student_path(name)
        layers = read_student_file(written).layers if self.finetuning else self.layers()
        student = self.facts.student(layers, self.stages.report)
        student.metadata["chosen"] = name
        write_student(path, student)
        evidence = self._evidence(student, chosen)
        return {
            "student": str(path),
            "method": self.config.method,
            **counts(student.layers, self.facts.teacher),
            "seconds": time.monotonic() - self.started,
            "chosen": name,
            "target_met": verdict(self.config, chosen, evidence),
            "data": self.preset.data,
            "coverage": self.preset.data,  # the former name, for a release
            **({} if evidence is None else {"evidence": evidence}),
            "steps": self.stages.report,
        }

    def _evidence(self, student: StudentFile, chosen: JSON) -> JSON | None:
        """Return the evidence on the finished student, with more episodes if they can decide the
        target."""
        analyses = evidence_analyses(self.config)
        if self.rollouts is None or not analyses:
            return None
        gathered = Evidence(
            self.rollouts,
            self.config.out / "evidence.npz",
            self.facts.policy(student),
            self.teacher,
            student.layers,
            lambda: self.loop.grant_stop("while the evidence was gathered"),
        )
        return gathered.gather(
            analyses,
            lambda figures: verdict(self.config, chosen, figures) != UNCLEAR,
        )


def _board(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
