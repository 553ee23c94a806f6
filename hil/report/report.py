"""Write the report: one HTML file with the results of a run and how to repeat it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure

from sparsectl.common.files import atomic_path, check_file
from sparsectl.common.provenance import provenance
from sparsectl.hil.analysis.results import AssessedTrial, active_part
from sparsectl.hil.analysis.trial_result import TrialResult
from sparsectl.hil.config import ReportConfig, TrialConfig
from sparsectl.hil.journal.header import plain_config
from sparsectl.hil.journal.trace import read_trace
from sparsectl.hil.report.comparison import TrialComparison, compare
from sparsectl.hil.report.encoding_plot import encoding_plot
from sparsectl.hil.report.figures import FIRST, SECOND, Plot, draw_plot, line, unwrapped_gaps
from sparsectl.hil.report.network_picture import NetworkPicture, draw_network
from sparsectl.hil.report.run_folder import Episode, RunFolder, gather
from sparsectl.hil.report.trial_plots import (
    UNITS,
    inference_plot,
    motion_plot,
    period_plot,
    phase_plot,
    round_trip_plot,
)
from sparsectl.hil.report.verdict import judge, key_figures, short
from sparsectl.hil.timing.percentiles import Percentiles

TEMPLATES = Path(__file__).parent / "templates"

LATENCY = {
    "sensing": "From sampling to the line",
    "up": "On the line to the host",
    "hand_over": "From the host's reader thread to its control loop",
    "compute": "Policy on the host",
    "sending": "From the policy to the line",
    "down": "On the line to the board",
    "actuating": "From the board's receipt to the motor's new duty",
    "end_to_end": "Total, from sampling to the motor's new duty",
}
"""The segments of `sparsectl.hil.timing.latency`, in order."""
LATENCY_OF_DEVICE = {"end_to_end": "Total, from sampling to reading the host's answer"}
MOST_RESETS = 5
"""How many resets of a recurrent policy's state are listed one by one."""


def write_report(config: ReportConfig, known: AssessedTrial | None = None) -> dict[str, Any]:
    """Write the report of a run's folder, a trial's folder or a journal.

    known: the folder's trial, if it has already been read and assessed.

    Returns:
        report (path), missing (what the folder does not hold, in words).

    Raises:
        UserError: there is nothing to report, a file is damaged, or the report cannot be written.
    """
    if config.out is not None:
        check_file(config.out)
    run = gather(config.path, known)
    other = None if config.other is None else gather(config.other)
    name = "report.html" if other is None else "comparison.html"
    out = config.out or run.folder / name
    check_file(out)
    html = render(run, None if other is None else compare(run, other))
    with atomic_path(out) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return {"report": str(out), "missing": run.missing}


def render(run: RunFolder, against: TrialComparison | None = None) -> str:
    """Render the page; `against` is the comparison with another trial."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    return environment.get_template("report.html").render(_page(run) | {"against": against})


def _page(run: RunFolder) -> dict[str, Any]:
    trial = run.trial
    return {
        "title": _title(run),
        "subtitle": _subtitle(run),
        "verdict": judge(run),
        "figures": key_figures(run),
        "plots": _plots(run),
        "timings": _timings(trial) if trial else [],
        "counts": _counts(trial) if trial else [],
        "disturbances": trial.disturbances if trial else (),
        "motion": _motion(trial),
        "latency": _latency(trial),
        "inputs": run.inputs,
        "network": _network(run),
        "comparison": _comparison(run),
        "steps": _table((run.stages.get("distill") or {}).get("steps")),
        "stages": _stages(run.stages),
        "repeat": _repeat(run),
        "missing": run.missing,
        "torn_bytes": run.journal.dropped_bytes if run.journal else 0,
    }


def _motion(trial: TrialResult | None) -> list[tuple[str, str]]:
    """Describe how well the pole was balanced, if it was ever up, and what the policy chose."""
    if trial is None:
        return []
    if trial.rms_angle_rad is None or trial.rms_duty is None:
        return [*_choices(trial), *recurrent_line(trial)]
    return [
        ("RMS angle from the capture on", f"{np.degrees(trial.rms_angle_rad):.2f}°"),
        ("RMS effort (duty) from the capture on", f"{trial.rms_duty:.3f}"),
        *_choices(trial),
        *recurrent_line(trial),
    ]


def _choices(trial: TrialResult) -> list[tuple[str, str]]:
    """Describe how often each duty was chosen, if the action is discrete."""
    if trial.choices is None:
        return []
    pairs = zip(trial.choices["duties"], trial.choices["shares"], strict=True)
    shares = ", ".join(
        f"{duty:+g} in {share:.0%}" if duty else f"0 in {share:.0%}" for duty, share in pairs
    )
    changes = f"{trial.choices['changes_per_second']:.1f} a second"
    return [("Duty chosen, of all ticks", shares), ("Changes of the chosen duty", changes)]


def recurrent_line(trial: TrialResult) -> list[tuple[str, str]]:
    """Describe the size of the state and when it was reset, if the policy keeps one."""
    if trial.recurrent is None:
        return []
    resets = [f"at {each['time_s']:.2f} s ({each['why']})" for each in trial.recurrent["resets"]]
    shown, more = resets[:MOST_RESETS], len(resets) - MOST_RESETS
    listed = ", ".join(shown) + (f" and {more} times more" if more > 0 else "")
    size = trial.recurrent["state_size"]
    return [("Recurrent policy", f"state of {size} values, reset {listed or 'never'}")]


def _latency(trial: TrialResult | None) -> list[tuple[str, Any]]:
    """Return the chain from sample to motor: labels and percentiles."""
    if trial is None or not trial.latency_us:
        return []
    chain = trial.latency_us
    labels = LATENCY | (LATENCY_OF_DEVICE if trial.mode == "device" else {})
    return [(label, chain[name]) for name, label in labels.items() if chain.get(name)]


def _network(run: RunFolder) -> NetworkPicture | None:
    """Draw the policy, its inputs weighted by how large their signals became in the trial."""
    if run.graph is None:
        return None
    if run.journal is None or run.trial is None or not run.trial.ticks:
        return draw_network(run.graph)
    trace = active_part(read_trace(run.journal))
    columns = (
        trace.base_position,
        trace.base_velocity,
        np.sin(trace.pole_angle_rad),
        np.cos(trace.pole_angle_rad),
        trace.pole_velocity,
    )
    reached = [max(float(np.percentile(np.abs(column), 95)), 1e-6) for column in columns]
    matches = len(reached) == len(run.graph.observation)
    return draw_network(run.graph, reached if matches else None)


def _title(run: RunFolder) -> str:
    return run.folder.resolve().name


def _subtitle(run: RunFolder) -> str:
    if run.journal is None or run.trial is None:
        return "sparsectl run"
    header, trial = run.journal.header, run.trial
    started = f" · {header.started}" if header.started else ""  # lockstep knows no day
    where = "virtual rig" if header.virtual else header.config.port
    return (
        f"Policy {header.digest[:12]} · rig {header.rig} · board {trial.board} "
        f"({where}) · {trial.mode} mode, {trial.clock} clock{started}"
    )


def _plots(run: RunFolder) -> dict[str, Plot]:
    """Return the plots by name, without those that the run has no data for."""
    found: dict[str, Plot | None] = {}
    journal, trial = run.journal, run.trial
    if journal is not None and trial is not None:
        trace = read_trace(journal)
        header = journal.header
        if trial.ticks > 1:
            found["motion"] = motion_plot(trace, trial, header.rig_constants, header.base_unit)
            found["phase"] = phase_plot(trace)
            found["inference"] = inference_plot(trace)
            found["period"] = period_plot(journal, trace, trial)
        found["round_trip"] = round_trip_plot(journal)
    if run.choice is not None and run.choice.measured:
        found["encodings"] = encoding_plot(run.choice)
    if len(run.episodes) == 2:
        found["episodes"] = _episodes_plot(**run.episodes, unit=run.base_unit)
    return {name: plot for name, plot in found.items() if plot is not None}


def _episodes_plot(teacher: Episode, student: Episode, unit: str | None) -> Plot:
    factor, shown = UNITS[unit] if unit in UNITS else (1.0, "in the rig's unit")

    def draw(figure: Figure, narrow: bool) -> None:
        angle, position, duty = figure.subplots(3, sharex=True, height_ratios=(3, 2, 2))
        for episode, colour, label in ((teacher, SECOND, "teacher"), (student, FIRST, "student")):
            time_s = episode["time_s"]
            line(angle, time_s, unwrapped_gaps(episode["pole_angle_rad"]), colour, label=label)
            line(position, time_s, episode["base_position"] * factor, colour)
            line(duty, time_s, episode["duty"], colour, 0.9, drawstyle="steps-post")
        angle.set_yticks((-180, -90, 0, 90, 180))
        angle.set_title("Pole angle (°)")
        angle.legend(loc="lower right", ncols=2)
        position.set_title(f"Base position ({shown})")
        duty.set_title("Motor duty")
        duty.set_xlabel("time (s)")

    return draw_plot("episodes", "Teacher and student in simulation", (5.2, 5.2), draw)


def _timings(trial: TrialResult) -> list[tuple[str, Percentiles]]:
    values = {
        "Control period": trial.period_us,
        "Jitter, |period − nominal period|": trial.jitter_us,
        "Noise floor: how late this machine wakes up": trial.noise_floor_us,
        "From sampling to new duty": trial.actuation_us,
        "Inference: the call of the policy": trial.inference_us,
        "Round trip, host to board and back": trial.round_trip_us,
    }
    return [(label, value) for label, value in values.items() if value is not None]


def _counts(trial: TrialResult) -> list[tuple[str, int]]:
    return [
        ("Control ticks driven by the policy", trial.ticks),
        ("Skipped ticks", trial.skipped),
        ("Late ticks", trial.late_ticks),
        ("Lost frames", trial.lost_frames),
        ("Corrupt frames", trial.corrupt_frames),
        ("Duplicate frames", trial.duplicate_frames),
        ("Late frames, out of order", trial.late_frames),
    ]


def _comparison(run: RunFolder) -> dict[str, Any] | None:
    """Compare teacher and student: returns with intervals, weights, bytes; shares are of the
    largest."""
    stages = run.stages
    evaluated = {who: stages.get(f"evaluate_{who}") for who in ("teacher", "student")}
    distilled, bench = stages.get("distill") or {}, stages.get("bench")
    returns = [{"who": who, **result} for who, result in evaluated.items() if result]
    top = max((row.get("return_high", 0.0) for row in returns), default=0.0) * 1.05
    weights = _bars(
        teacher=distilled.get("teacher_weights") or distilled.get("teacher_parameters"),
        student=run.graph.kept_weights if run.graph else distilled.get("kept_weights"),
    )
    flash = bench.get("flash_bytes") if isinstance(bench, dict) else None
    parameters = distilled.get("teacher_parameters")
    size = _bars(teacher=4 * parameters if parameters else None, student=flash)
    if not returns and not weights:
        return None
    return {"returns": returns, "top": top or 1.0, "weights": weights, "bytes": size}


def _bars(**values: int | None) -> list[dict[str, Any]]:
    """Return rows for bars; none unless all values are known, since one alone compares nothing."""
    known = {who: value for who, value in values.items() if value}
    if len(known) < len(values):
        return []
    most = max(known.values())
    return [{"who": who, "value": value, "share": value / most} for who, value in known.items()]


def _table(rows: Any) -> dict[str, Any] | None:
    """Return a list of flat objects as a table of their keys."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return None
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return {
        "columns": [column.replace("_", " ") for column in columns],
        "rows": [[_cell(row.get(column)) for column in columns] for row in rows],
    }


def _stages(stages: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return every stage's plain values."""
    return [
        (name.replace("_", " "), [(key, _cell(value)) for key, value in stage.items()])
        for name, stage in stages.items()
        if isinstance(stage, dict) and name not in ("trial", "config", "provenance")
    ]


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.5g}"
    return value if isinstance(value, str) else json.dumps(value)


def _repeat(run: RunFolder) -> dict[str, Any]:
    """Return everything that is needed to repeat the run."""
    origin = run.stages.get("provenance") or provenance()
    commands = []
    facts: list[tuple[str, str]] = []
    blocks: list[tuple[str, str]] = []
    if run.journal is not None:
        header = run.journal.header
        origin = header.provenance
        commands.append(_trial_command(header.config))
        commands.append(f"sparsectl report {shlex.quote(str(run.journal_path))}")
        facts += [
            ("Policy digest", header.digest),
            ("Seed", str(header.config.seed)),
            ("Journal", str(run.journal_path)),
        ]
        trial = run.trial
        relation = trial.clock_relation if trial else None
        if relation:
            facts.append(
                (
                    "Clocks",
                    f"host = device × (1 {relation['drift_ppm']:+.2f} ppm) + offset, within "
                    f"{relation['error_us']:.0f} µs, from {relation['exchanges']:,} exchanges",
                )
            )
        blocks += [
            ("Trial configuration", _pretty(plain_config(header.config))),
            ("Rig constants, agreed by host and board", _pretty(header.rig_constants.to_json())),
            ("Signals", _pretty(header.signals)),
            (
                "Board's counters at the end",
                _pretty(trial.stats if trial else None),
            ),
        ]
    command = origin.get("command")
    if isinstance(command, list):
        commands.insert(0, shlex.join(str(word) for word in command))
    facts += [(key.capitalize(), str(value)) for key, value in origin.items() if key != "command"]
    return {"commands": list(dict.fromkeys(commands)), "facts": facts, "blocks": blocks}


def _trial_command(config: TrialConfig) -> str:
    """Return the command line with every option that differs from its default."""
    words = ["sparsectl", "trial", "--policy", str(config.policy)]
    default = plain_config(TrialConfig(policy=Path()))
    for key, value in plain_config(config).items():
        if key in ("policy", "out", "firmware", "report") or value == default[key]:
            continue
        option = "--" + key.replace("_", "-")
        words += [option] if value is True else [option, str(value)]
    return shlex.join(words)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2)
