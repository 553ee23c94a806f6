"""Read the folder of a run or a trial for the report."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json
from sparsectl.hil.analysis.results import AssessedTrial
from sparsectl.hil.analysis.trial_result import TrialResult
from sparsectl.hil.journal.journal import Journal
from sparsectl.hil.journal.policy_folder import first_with_digest, places_beside, recorded_place
from sparsectl.hil.report.encoding_plot import MeasuredChoice, read_choice
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.load import POLICY_ONNX
from sparsectl.policy.onnx_file.reader import read_onnx

STAGES = {
    "teach": "no teacher was trained here",
    "collect": "no dataset was collected here",
    "distill": "no student was distilled here",
    "evaluate_teacher": "the teacher was not evaluated",
    "evaluate_student": "the student was not evaluated",
    "export": "no policy was exported here",
    "bench": "the policy was not benchmarked on a board",
    "trial": "no trial was run",
}
EPISODE_KEYS = ("time_s", "base_position", "pole_angle_rad", "duty")

Episode = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class RunFolder:
    """The content of the folder; `missing` names what was not found."""

    folder: Path
    stages: dict[str, Any]
    """`summary.json`: one object per stage, and provenance."""
    journal: Journal | None
    journal_path: Path | None
    trial: TrialResult | None
    """The result computed from the journal if there is one, otherwise that in summary.json."""
    graph: PolicyGraph | None
    choice: MeasuredChoice | None = None
    """The encodings that its export measured on a board; see `encoding_plot.read_choice`."""
    inputs: list[dict[str, Any]] = field(default_factory=list)
    """The inputs in policy.json: name, low, high, and cut_off, the magnitude at which a fixed-point
    policy saturates it (None: nowhere)."""
    episodes: dict[str, Episode] = field(default_factory=dict)
    """Simulated episodes of teacher and student from the same start."""
    missing: list[str] = field(default_factory=list)

    @property
    def base_unit(self) -> str | None:
        """Return the unit of the base's position, m or rad; None if the folder does not show the
        rig."""
        if self.journal is not None:
            return self.journal.header.base_unit
        return self.graph.observation[0].unit if self.graph and self.graph.observation else None


def gather(path: Path, known: AssessedTrial | None = None) -> RunFolder:
    """Read a run's folder, a trial's folder, or a journal.

    known: the trial of this folder, where it has been read and assessed already.

    Raises:
        UserError: nothing there, nothing of ours there, or a file that is damaged.
    """
    folder, journal_path, stages = _locate(path)
    if known is None and journal_path is not None:
        known = AssessedTrial.of(journal_path)
    journal = known.journal if known else None
    trial = known.result if known else TrialResult.from_json(stages.get("trial"))
    place = _policy(folder, journal, trial)
    graph = read_onnx(place / POLICY_ONNX) if place else None
    choice = read_choice(place) if place else None
    episodes = {
        who: episode
        for who in ("teacher", "student")
        if (episode := _episode(folder / f"evaluate_{who}_trace.npz")) is not None
    }
    found = stages | {"trial": trial}
    missing = [words for stage, words in STAGES.items() if not found.get(stage)]
    missing += [] if graph else ["no policy.onnx has the trial's digest, so no network is drawn"]
    missing += [] if len(episodes) == 2 else ["no simulated episodes of teacher and student"]
    return RunFolder(
        folder=folder,
        stages=stages,
        journal=journal,
        journal_path=journal_path,
        trial=trial,
        graph=graph,
        choice=choice,
        inputs=_inputs(place) if place else [],
        episodes=episodes,
        missing=missing,
    )


def _inputs(place: Path) -> list[dict[str, Any]]:
    """Return the inputs that policy.json describes; none if it has none, as from an earlier
    export."""
    path = place / "policy.json"
    said = read_json(path) if path.is_file() else {}
    inputs = said.get("inputs") if isinstance(said, dict) else None
    if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
        return []
    return [each for each in inputs if {"name", "low", "high", "cut_off"} <= each.keys()]


def _locate(path: Path) -> tuple[Path, Path | None, dict[str, Any]]:
    """Find the folder, its journal and its summary."""
    if path.is_file():
        return path.parent, path, {}
    if not path.exists():
        raise UserError(
            f"no {path}; name the folder of a run, a trial or a sweep, or a journal.bin"
        )
    candidates = (path / "journal.bin", path / "trial" / "journal.bin")
    journal = next((one for one in candidates if one.is_file()), None)
    summary = path / "summary.json"
    stages = read_json(summary) if summary.is_file() else {}
    if not isinstance(stages, dict):
        raise UserError(f"{summary} is not an object of stages; run the pipeline again")
    if journal is None and not summary.is_file():
        raise UserError(
            f"{path} holds no summary.json, journal.bin or sweep.json; name the folder of a run, a "
            "trial or a sweep"
        )
    return path, journal, stages


def _policy(folder: Path, journal: Journal | None, trial: TrialResult | None) -> Path | None:
    """Return the folder of the policy that was tried, which has the digest in the journal."""
    places = [*places_beside(folder), folder]
    if journal is not None:
        places.append(recorded_place(journal))
    return first_with_digest(places, trial.digest if trial else None)[0]


def _episode(path: Path) -> Episode | None:
    """Return the arrays of one simulated episode, all of one length."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            episode = {key: np.asarray(stored[key], dtype=np.float64) for key in EPISODE_KEYS}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a recorded episode: {error}; evaluate again") from error
    if len({value.shape for value in episode.values()}) != 1 or episode["time_s"].ndim != 1:
        raise UserError(f"{path} holds arrays of different lengths; evaluate again")
    return episode
