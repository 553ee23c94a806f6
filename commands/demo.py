"""`sparsectl demo`: from the shipped teacher to a finished trial, no hardware needed."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from sparsectl.command_line.config import DemoConfig
from sparsectl.commands.bench import bench
from sparsectl.commands.build import build
from sparsectl.common.errors import EXIT_FAULT, EXIT_LINK_LOST, UserError
from sparsectl.common.files import atomic_path, check_writable, read_json, write_json
from sparsectl.common.folder_lock import locked_folder
from sparsectl.common.provenance import provenance
from sparsectl.common.ranges import check_counts, check_numbers
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.firmware_host.config import BenchConfig, BuildConfig
from sparsectl.hil.config import ReportConfig, TrialConfig
from sparsectl.hil.report.report import write_report
from sparsectl.hil.trial.trial import SILENCES, run_trial
from sparsectl.plants.rig import rig_names
from sparsectl.protocol.wire import Fault
from sparsectl.training.config import CollectConfig, DistillConfig, EvaluateConfig
from sparsectl.training.distillation.distill import distill
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.rollouts.evaluate import evaluate
from sparsectl.training.rollouts.seeds import BLOCK

TEACHERS_FOLDER = Path(__file__).resolve().parent.parent / "training" / "teachers"

TEACHER = "teacher.onnx"
SUMMARY = "summary.json"

KEPT_WEIGHTS = 236
"""Most weights of the student: a third of a percent of the cart-pole's teacher's."""

_OF_TIMING: Final = frozenset(
    fault.name for fault in (*SILENCES, Fault.OVERRUN, Fault.CLOCK, Fault.WATCHDOG)
)
"""Faults that a machine brings about which does not run the virtual board or its host in time."""

Stage = Callable[[DemoConfig], dict[str, Any]]


def _rigs() -> list[str]:
    """Return the rigs whose teacher comes with the project."""
    return [name for name in rig_names() if (TEACHERS_FOLDER / f"{name}.onnx").is_file()]


def environment(config: DemoConfig) -> str:
    """Return the Gymnasium id of the demo's rig."""
    return f"sparsectl/{config.rig}-v0"


def take_teacher(config: DemoConfig) -> dict[str, Any]:
    """Copy the teacher that comes with the rig into the run's folder."""
    shipped = TEACHERS_FOLDER / f"{config.rig}.onnx"
    if not shipped.is_file():
        raise UserError(f"rig {config.rig!r} has no shipped teacher; use {', '.join(_rigs())}")
    with atomic_path(config.out / TEACHER) as temporary:
        shutil.copyfile(shipped, temporary)
    return {"teacher": str(config.out / TEACHER), "shipped_as": shipped.name}


def evaluate_teacher(config: DemoConfig) -> dict[str, Any]:
    """Measure the teacher's return."""
    return _evaluate(config, config.out / TEACHER, "evaluate_teacher_trace.npz")


def collect_dataset(config: DemoConfig) -> dict[str, Any]:
    """Collect the teacher's transitions."""
    return collect(
        CollectConfig(
            teacher=config.out / TEACHER,
            env=environment(config),
            out=config.out / "dataset.npz",
            seed=config.seed,
        )
    )


def distill_student(config: DemoConfig) -> dict[str, Any]:
    """Distil the sparse student."""
    return distill(
        DistillConfig(
            dataset=config.out / "dataset.npz",
            teacher=config.out / TEACHER,
            env=environment(config),
            out=config.out,
            preset="quick",
            keep=KEPT_WEIGHTS,
            seed=config.seed,
        )
    )


def evaluate_student(config: DemoConfig) -> dict[str, Any]:
    """Measure the student's return, in the same episodes as the teacher's."""
    return _evaluate(config, config.out / "student.safetensors", "evaluate_student_trace.npz")


def export_student(config: DemoConfig) -> dict[str, Any]:
    """Write policy.onnx and C, verified."""
    return export_policy(
        ExportConfig(model=config.out / "student.safetensors", out=config.out / "policy")
    )


def build_firmware(config: DemoConfig) -> dict[str, Any]:
    """Build the firmware for this machine."""
    return build(BuildConfig(policy=config.out / "policy", out=config.out / "firmware"))


def bench_policy(config: DemoConfig) -> dict[str, Any]:
    """Measure time and size of the policy on this machine."""
    return bench(BenchConfig(policy=config.out / "policy", board="host"))


def trial(config: DemoConfig) -> dict[str, Any]:
    """Run a trial on the virtual rig, in real time; on a machine too busy for that, in lockstep."""
    asked = TrialConfig(
        policy=config.out / "policy",
        port="virtual",
        seconds=config.seconds,
        seed=config.seed,
        out=config.out / "trial",
        firmware=config.out / "firmware",
        report=False,
    )
    try:
        result = run_trial(asked)
        delay = delay_of(result)
        if not delay:
            return result
    except UserError as error:
        if error.exit_code not in (EXIT_FAULT, EXIT_LINK_LOST):
            raise
        print(f"trial ended: {error}", file=sys.stderr)
        delay = "the board could no longer be reached"
    print(
        f"this machine is too busy for a trial in real time ({delay}); it is run again in "
        "lockstep, tick by tick, which says nothing about the timing",
        file=sys.stderr,
    )
    return run_trial(replace(asked, clock="lockstep"))


def delay_of(result: dict[str, Any]) -> str:
    """Return what a failed trial shows of a machine that ran it too late; empty if it shows
    nothing, or if the trial did not fail.

    Args:
        result: what `run_trial` returned of a trial in real time.
    """
    if result["balanced"]:
        return ""
    skipped, late = result["skipped"], result["late_ticks"]
    if result["fault"] in _OF_TIMING:
        return str(result["fault"])
    if skipped or late:
        return f"ticks skipped: {skipped}, late: {late}"
    return ""


STAGES: dict[str, Stage] = {
    "teacher": take_teacher,
    "evaluate_teacher": evaluate_teacher,
    "collect": collect_dataset,
    "distill": distill_student,
    "evaluate_student": evaluate_student,
    "export": export_student,
    "build": build_firmware,
    "bench": bench_policy,
    "trial": trial,
}


def demo(config: DemoConfig) -> dict[str, Any]:
    """Run the stages that the run's folder does not have yet, then write the report.

    Returns:
        An object a stage, stage_seconds, the report, a table, and the trial's exit_code where it
        ended in a fault.

    Raises:
        UserError: an unknown rig, another process in the folder, or a stage's own.
    """
    _check(config)
    with locked_folder(config.out):
        summary = _stages(config)
    exit_code = summary["trial"].get("exit_code", 0)
    try:
        rows = table(summary)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{config.out / SUMMARY} lacks a figure that the table shows ({error}); remove it, or "
            "give another --out"
        ) from error
    return summary | {"table": rows, "exit_code": exit_code}


def _stages(config: DemoConfig) -> dict[str, Any]:
    summary_path = config.out / SUMMARY
    summary = _begun(summary_path, config)
    seconds = summary.setdefault("stage_seconds", {})
    for number, (name, stage) in enumerate(STAGES.items(), 1):
        title = f"[{number}/{len(STAGES) + 1}] {name}"
        if name in summary:
            print(f"{title}: already done", file=sys.stderr)
            continue
        print(f"{title}: {stage.__doc__}", file=sys.stderr)
        start = time.monotonic()
        summary[name] = stage(config)
        seconds[name] = round(time.monotonic() - start, 1)
        print(f"{title}: took {_duration(seconds[name])}", file=sys.stderr)
        write_json(summary_path, summary)
    print(f"[{len(STAGES) + 1}/{len(STAGES) + 1}] report", file=sys.stderr)
    summary["report"] = write_report(ReportConfig(path=config.out))
    summary["complete"] = True
    write_json(summary_path, summary)
    print(f"all stages took {_duration(sum(seconds.values()))}", file=sys.stderr)
    if summary["trial"].get("exit_code"):
        print(f"the demo's trial ended in a fault: {summary['trial']['ended']}", file=sys.stderr)
    return summary


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{seconds:.1f} s"


def _check(config: DemoConfig) -> None:
    """See that no stage will refuse what could be refused now, and that no other's folder is taken.

    Raises:
        UserError: a setting is out of its range, or `out` holds something else than a demo.
    """
    if config.rig not in _rigs():
        raise UserError(f"rig {config.rig!r} has no shipped teacher; use {', '.join(_rigs())}")
    check_counts(config, 1, "episodes", most=BLOCK)
    check_counts(config, 0, "seed", most=BLOCK // 2)
    check_numbers(config, "seconds", least=0.1, most=86_400)
    check_writable(config.out)
    held = list(config.out.iterdir()) if config.out.is_dir() else []
    if held != [config.out / TEACHER] and held and not _is_demo(config.out / SUMMARY):
        raise UserError(
            f"{config.out} holds {held[0].name}, which no demo wrote and this one would remove; "
            "give --out a folder of its own"
        )


def _is_demo(summary_path: Path) -> bool:
    if not summary_path.is_file():
        return False
    summary = read_json(summary_path)
    config = summary.get("config") if isinstance(summary, dict) else None
    return isinstance(config, dict) and "rig" in config and "env" not in config


def _begun(summary_path: Path, config: DemoConfig) -> dict[str, Any]:
    """Return the unfinished run of this same config and this same version, or a fresh one."""
    plain = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in asdict(config).items()
    }
    fresh = {"config": plain, "provenance": provenance()}
    if summary_path.is_file():
        summary: dict[str, Any] = read_json(summary_path)
        if summary.get("config") == plain and not summary.get("complete"):
            if _version(summary) == _version(fresh) and _is_sound(summary):
                return summary
            print(
                f"the unfinished run in {config.out} is from another version of sparsectl; it "
                "starts again",
                file=sys.stderr,
            )
    for held in config.out.iterdir():  # the folder itself is locked, and so stays
        if held.is_dir() and not held.is_symlink():
            shutil.rmtree(held, ignore_errors=True)
        else:
            held.unlink()
    return fresh


def _version(summary: dict[str, Any]) -> tuple[Any, Any] | None:
    made = summary.get("provenance")
    return (made.get("sparsectl"), made.get("revision")) if isinstance(made, dict) else None


def _is_sound(summary: dict[str, Any]) -> bool:
    """Return whether the entries of all its stages are objects."""
    return all(isinstance(summary.get(name, {}), dict) for name in ("stage_seconds", *STAGES))


def _evaluate(config: DemoConfig, policy: Path, trace: str) -> dict[str, Any]:
    return evaluate(
        EvaluateConfig(
            policy=policy,
            env=environment(config),
            episodes=config.episodes,
            trace=config.out / trace,
        )
    )


def table(summary: dict[str, Any]) -> list[list[str]]:
    """Format the teacher beside the student, then the trial's figures."""
    teacher, student = summary["evaluate_teacher"], summary["evaluate_student"]
    distilled, benched, driven = summary["distill"], summary["bench"], summary["trial"]
    evidence, parameters = distilled["evidence"], distilled["teacher_parameters"]
    return [
        ["", "teacher", "student"],
        [
            f"return, mean of {evidence['episodes']} episodes",
            f"{evidence['teacher_return_mean']:.1f}",
            _interval(evidence),
        ],
        ["difference from the teacher, in the same episodes", "", _share(evidence, "difference")],
        [
            "failures in 1,000 episodes",
            f"{evidence['teacher_failures_per_1000']:.1f}",
            f"{evidence['failures_per_1000']:.1f} "
            f"[{evidence['failures_low']:.1f}, {evidence['failures_high']:.1f}]",
        ],
        [
            f"balanced, of {student['episodes']} others",
            f"{teacher['success_rate']:.0%}",
            f"{student['success_rate']:.0%}",
        ],
        ["weights kept", f"{distilled['teacher_weights']:,}", f"{distilled['kept_weights']:,}"],
        ["... with biases", f"{parameters:,}", f"{distilled['kept_parameters']:,}"],
        ["bytes of flash", f"{4 * parameters:,}", f"{benched['flash_bytes']:,}"],
        *_timing(driven),
        ["balanced in the trial", "", f"{driven['balanced_seconds']:.1f} s"],
        ["report", "", str(summary["report"]["report"])],
    ]


def _timing(driven: dict[str, Any]) -> list[list[str]]:
    """Format the timing; a virtual clock measures nothing, and its figures are not shown."""
    if driven["clock"] != "realtime":
        return [["timing in the trial", "", f"not measured: {driven['clock']}, a virtual clock"]]
    return [
        ["inference in the trial, p50 / max", "", _pair(driven["inference_us"], digits=2)],
        ["control period, p50 / max", "", _pair(driven["period_us"])],
        ["jitter, p99 / max", "", _pair(driven["jitter_us"], "p99")],
    ]


def _share(figures: dict[str, Any], name: str) -> str:
    value, low, high = (figures[name + end] for end in ("", "_low", "_high"))
    return f"{value:+.1%} [{low:+.1%}, {high:+.1%}]"


def _interval(result: dict[str, Any]) -> str:
    return f"{result['return_mean']:.1f} [{result['return_low']:.1f}, {result['return_high']:.1f}]"


def _pair(figures: dict[str, float] | None, first: str = "p50", digits: int = 0) -> str:
    if figures is None:
        return "the motor was never driven"
    return f"{figures[first]:.{digits}f} / {figures['max']:.{digits}f} us"
