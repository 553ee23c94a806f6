"""The report in one line and eight figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparsectl.hil.analysis.trial_result import TrialResult
from sparsectl.hil.planning.plan import HOST
from sparsectl.hil.report.run_folder import RunFolder
from sparsectl.hil.timing.percentiles import Percentiles

COMPLETED = "completed"


@dataclass(frozen=True)
class Verdict:
    """The headline: a tone (good, warn, bad, none), the words, and what lies behind them."""

    tone: str
    words: str
    behind: str


@dataclass(frozen=True)
class KeyFigure:
    """A figure with its unit, what it is, and what to hold it against."""

    label: str
    value: str
    unit: str
    beside: str


def judge(run: RunFolder) -> Verdict:
    """Return the verdict of the report: what happened, in a line."""
    trial = run.trial
    if trial is None:
        return Verdict("none", "No trial yet", "This run has no trial, because it has no journal.")
    if trial.fault not in ("NONE", "ESTOP"):
        return Verdict("bad", f"The board stopped the trial: {_words(trial.fault)}", _behind(trial))
    if trial.swing_up_seconds is None:
        return Verdict("bad", "The pole did not come up", _behind(trial))
    held = f"{trial.held_seconds:.1f} s"
    if trial.balanced:
        return Verdict("good", f"Balanced for {held}", _behind(trial))
    if trial.ended != COMPLETED:
        return Verdict("warn", f"Ended early, after {held} upright", _behind(trial))
    return Verdict("bad", "Balanced, then fell", _behind(trial))


def _behind(trial: TrialResult) -> str:
    up = trial.swing_up_seconds
    kicks = len(trial.disturbances)
    parts = []
    if up is not None:
        parts.append(
            f"The pole was up after {up:.1f} s and stayed within ±11.5° for "
            f"{trial.balanced_seconds:.1f} s at a stretch"
        )
    if kicks:
        parts.append(f"it received {kicks} kick{'s' if kicks > 1 else ''}")
    if missed := trial.kicks_missed:
        parts.append(f"{missed} of {kicks + missed} kicks were not sent or not confirmed")
    if trial.ended != COMPLETED:
        parts.append(f"the trial ended early: {trial.ended}")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "."


def key_figures(run: RunFolder) -> list[KeyFigure]:
    """Return the most important figures of a run, as far as it has them."""
    trial, stages = run.trial, run.stages
    figures = [_weights(run), _return(stages)]
    if trial is not None:
        figures += [
            _timing("Inference", trial.inference_us, _whose_inference(trial)),
            _jitter(trial),
            _timing("Round trip", trial.round_trip_us, "host to board and back"),
            _count(
                "Skipped ticks",
                trial.skipped,
                f"{trial.ticks:,} ran, {trial.late_ticks:,} of them late",
            ),
            _count("Lost frames", trial.lost_frames, f"{trial.corrupt_frames} corrupt"),
        ]
    return [figure for figure in [*figures, _flash(stages)] if figure is not None]


def _weights(run: RunFolder) -> KeyFigure | None:
    distilled = run.stages.get("distill") or {}
    kept = run.graph.kept_weights if run.graph else distilled.get("kept_weights")
    if kept is None:
        return None
    return KeyFigure("Weights kept", f"{kept:,}", "", _share_of_teacher(kept, distilled))


def _share_of_teacher(kept: int, distilled: dict[str, Any]) -> str:
    """Return both shares, if the run has them: weights of weights, and all parameters of all, with
    biases."""
    weights, parameters = (distilled.get(f"teacher_{what}") for what in ("weights", "parameters"))
    if not weights:
        if not parameters:
            return "in the exported policy"
        return f"{100 * kept / parameters:.2f} % of the teacher's {parameters:,} weights and biases"
    text = f"{100 * kept / weights:.2f} % of the teacher's {weights:,} weights"
    if parameters and (all_kept := distilled.get("kept_parameters")):
        share = 100 * all_kept / parameters
        text += f"; with biases {all_kept:,} of {parameters:,}, {share:.2f} %"
    return text


def _return(stages: dict[str, Any]) -> KeyFigure | None:
    student, teacher = stages.get("evaluate_student"), stages.get("evaluate_teacher")
    if not student or not teacher or not teacher.get("return_mean"):
        return None
    share = 100 * student["return_mean"] / teacher["return_mean"]
    beside = f"{student['return_mean']:.1f} against {teacher['return_mean']:.1f}"
    return KeyFigure("Return kept", f"{share:.1f}", "%", beside)


def _timing(label: str, values: Percentiles | None, what: str) -> KeyFigure | None:
    if values is None:
        return None
    return KeyFigure(label, short(values["p50"]), "µs", f"{what}, p99 {short(values['p99'])}")


def _whose_inference(trial: TrialResult) -> str:
    """Say whose inference time it is. On a virtual clock the host port measures nothing: its policy
    call takes a set time."""
    if trial.board == HOST and trial.clock != "realtime":
        return "assumed by the virtual clock, not measured"
    return "policy call on the board"


def _jitter(trial: TrialResult) -> KeyFigure | None:
    jitter, floor = trial.jitter_us, trial.noise_floor_us
    if jitter is None:
        return None
    if trial.clock != "realtime":
        return KeyFigure("Jitter p99", short(jitter["p99"]), "µs", "a virtual clock has none")
    beside = (
        f"this machine wakes {short(floor['p99'])} µs late" if floor else "noise floor not measured"
    )
    return KeyFigure("Jitter p99", short(jitter["p99"]), "µs", beside)


def _count(label: str, count: int, beside: str) -> KeyFigure:
    return KeyFigure(label, f"{count:,}", "", beside)


def _flash(stages: dict[str, Any]) -> KeyFigure | None:
    bench = stages.get("bench")
    if not isinstance(bench, dict) or bench.get("flash_bytes") is None:
        return None
    beside = f"flash on {bench.get('board', 'the board')}"
    if bench.get("ram_bytes") is not None:
        beside += f", {bench['ram_bytes']:,} B RAM"
    return KeyFigure("Policy", f"{bench['flash_bytes'] / 1000:.1f}", "KB", beside)


def short(value: float) -> str:
    """Format a number with three significant digits."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _words(name: str) -> str:
    return name.lower().replace("_", " ")
