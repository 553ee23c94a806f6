"""The loop that all stages of a distillation share: progress, checkpoints, logs, stopping."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from torch import Tensor

from sparsectl.common.errors import Stopped, UserError
from sparsectl.common.progress import Progress

CHECK_EVERY = 50
"""Updates between checks of the clock and of requests to stop; a hundredth of all, if less."""


class Trainer(Protocol):
    """Something that is trained step by step."""

    steps_done: int
    losses: dict[str, Tensor]

    def update(self) -> None:
        """Update on one minibatch."""

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next update depends on."""


class Stop:
    """Records that SIGINT has come, so that the loop can end after its step; a second one
    interrupts at once."""

    def __init__(self) -> None:
        self.wanted = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """While the block runs, SIGINT asks the loop to stop between updates."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may have handlers
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


class Loop:
    """Runs a trainer, saving and logging at intervals.

    Args:
        save: writes a checkpoint.
        stop: whether SIGINT has asked for the end.
        board: a TensorBoard writer.
        checkpoint_seconds: time between checkpoints.
    """

    def __init__(
        self, save: Callable[[], None], stop: Stop, board: Any, checkpoint_seconds: float
    ) -> None:
        self.save = save
        self.stop = stop
        self.board = board
        self.checkpoint_seconds = checkpoint_seconds

    def run(
        self,
        trainer: Trainer,
        until: int,
        name: str,
        log_every: int,
        figures: Callable[[], dict[str, float]],
        beside: str = "",
    ) -> None:
        """Update until `trainer.steps_done` is `until`; `beside` the name stands what else is left.

        Raises:
            Stopped: SIGINT came; a checkpoint is written.
            UserError: a loss is no longer finite.
        """
        saved_at = time.monotonic()
        check_every = min(CHECK_EVERY, max(1, until // 100))
        with Progress(
            total=until, initial=trainer.steps_done, desc=name + beside, unit="step"
        ) as progress:
            while trainer.steps_done < until:
                trainer.update()
                done = trainer.steps_done
                if done % log_every == 0 or done == until:
                    self._log(trainer, name, figures(), progress)
                if done % check_every and done < until:
                    continue
                progress.update(done - progress.n)
                self.grant_stop(f"in {name} after step {done}")
                if time.monotonic() - saved_at >= self.checkpoint_seconds:
                    self.save()
                    saved_at = time.monotonic()

    def grant_stop(self, where: str) -> None:
        """Save and stop if SIGINT has come; the message says where.

        Raises:
            Stopped: it came.
        """
        if self.stop.wanted:
            self.save()
            raise Stopped(f"stopped {where}; the same command resumes from there")

    def _log(
        self, trainer: Trainer, name: str, figures: dict[str, float], progress: Progress
    ) -> None:
        losses = {key: value.item() for key, value in trainer.losses.items()}
        for key, value in losses.items():
            if not math.isfinite(value):
                raise UserError(
                    f"{name} diverged: loss {key} is {value} at step {trainer.steps_done}; "
                    + _mend(name)
                )
        for key, value in {**losses, **figures}.items():
            self.board.add_scalar(f"{name}/{key}", value, trainer.steps_done)
        first = "imitation" if "imitation" in losses else next(iter(losses))
        shown = {first: f"{losses[first]:.3g}"}
        if "kept_weights" in figures:
            shown["kept"] = f"{figures['kept_weights']:.0f}"
        progress.set_postfix(shown, refresh=False)


def _mend(name: str) -> str:
    """Name the setting to change if the stage of that name diverged."""
    if name.startswith("finetune"):
        return "give a smaller --finetune.learning-rate"
    return "give a smaller --learning-rate, or no value term (--value-weight 0)"
