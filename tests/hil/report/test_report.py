from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.hil.analysis.trial_result import Disturbance
from sparsectl.hil.config import ReportConfig, TrialConfig
from sparsectl.hil.report import report
from sparsectl.hil.report.comparison import settling_times
from sparsectl.hil.report.network_picture import draw_network, live_neurons
from sparsectl.hil.report.report import write_report
from sparsectl.hil.trial.trial import run_trial
from sparsectl.policy.onnx_file.reader import read_onnx
from tests.hil.policies import EASY_RIG, choosing_graph, timid_graph

SECTIONS = {"motion", "phase", "timing", "network", "comparison", "repeat"}


@pytest.fixture(scope="module")
def run(easy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder: policy, trial, both episodes, and the stages' results."""
    folder = tmp_path_factory.mktemp("runs") / "run <1>"
    shutil.copytree(easy, folder / "policy")
    trial = run_trial(
        TrialConfig(
            policy=folder / "policy",
            rig=str(EASY_RIG),
            clock="lockstep",
            seconds=6.0,
            seed=12345,
            out=folder / "trial",
            report=False,
        )
    )
    time_s = np.arange(0, 2, 0.02)
    for who in ("teacher", "student"):
        np.savez(
            folder / f"evaluate_{who}_trace.npz",
            time_s=time_s,
            base_position=0.1 * np.sin(time_s),
            pole_angle_rad=np.cos(time_s),
            duty=np.zeros_like(time_s),
        )
    evaluation = {"return_low": 350.0, "return_high": 370.0, "return_min": 300.0, "episodes": 100}
    stages = {
        "distill": {
            "kept_weights": 552,
            "kept_parameters": 600,
            "teacher_weights": 72_192,
            "teacher_parameters": 72_705,
            "steps": [{"name": "bpd", "return_mean": 301.5}, {"name": "fine-tuning"}],
        },
        "evaluate_teacher": {
            "return_mean": 361.0,
            "success_rate": 1.0,
            **evaluation,
        },
        "evaluate_student": {
            "return_mean": 359.0,
            "success_rate": 0.9,
            **evaluation,
        },
        "bench": {"board": "host", "flash_bytes": 4321, "ram_bytes": 500},
        "trial": trial,
    }
    (folder / "summary.json").write_text(json.dumps(stages))
    return folder


class Page(HTMLParser):
    """Ids of the sections, all text, and every address that a browser would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sections: set[str] = set()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        if tag == "section" and "id" in values:
            self.sections.add(values["id"])
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [values[key] for key in ("src", "href", "xlink:href") if key in values]
        assert tag not in ("script", "link", "iframe", "img")

    def handle_data(self, data: str) -> None:
        self.text += data


def report_of(path: Path, out: Path) -> Page:
    written = write_report(ReportConfig(path, out))
    assert written["report"] == str(out)
    return Page(out.read_text())


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    """The report of the whole run."""
    write_report(ReportConfig(run))
    return (run / "report.html").read_text()


def test_a_whole_run_shows_every_section(run: Path, html: str) -> None:
    page = Page(html)
    assert page.sections == SECTIONS
    assert "Balanced for 6." in page.text
    digest = read_onnx(run / "policy" / "policy.onnx").digest
    for words in (
        *("run <1>", digest, "12345", "Weights kept", "0.76 % of the teacher's 72,192 weights"),
        "with biases 600 of 72,705, 0.83 %",
        *(
            "--clock lockstep",
            "Skipped ticks",
            "Late ticks",
            "Lost frames",
            "fine-tuning",
            "4,321 B",
        ),
        *("pole angular velocity", "−80 ms", "99.4", "period_us", "Revision"),
    ):
        assert words in page.text, words
    assert "assumed by the virtual clock, not measured" in page.text
    assert "Round trip" not in page.text  # a lockstep trial knows no time but the board's


def test_nothing_is_fetched_from_anywhere(html: str) -> None:
    page = Page(html)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", html)
    assert page.addresses and all(address.startswith("#") for address in page.addresses)
    assert len(page.ids) == len(set(page.ids))
    assert {address[1:] for address in page.addresses} <= set(page.ids)


def test_plots_take_their_colours_from_the_page(html: str) -> None:
    drawing = "".join(re.findall(r"<svg.*?</svg>", html, re.S))
    assert "var(--first)" in drawing
    assert not re.search(r"#[0-9a-f]{6}\b", drawing)
    assert "prefers-color-scheme: dark" in html


def test_the_same_run_gives_the_same_bytes(run: Path, html: str, tmp_path: Path) -> None:
    report_of(run, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == html


def test_a_trial_alone_says_what_is_left_out(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "trial", tmp_path / "trial")
    for path in (tmp_path / "trial", tmp_path / "trial" / "journal.bin"):
        page = report_of(path, tmp_path / "report.html")
        assert page.sections == SECTIONS - {"comparison"}  # the policy is where the header says
        assert "Not in this report: no teacher was trained here; no dataset" in page.text


def test_a_run_without_a_trial_says_so(run: Path, tmp_path: Path) -> None:
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    del summary["trial"]
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    page = report_of(tmp_path, tmp_path / "report.html")
    assert page.sections == {"comparison", "repeat"}
    assert "No trial yet" in page.text and "no trial was run" in page.text


def test_another_policy_is_not_shown_as_the_one_that_was_tried(
    run: Path, timid: Path, tmp_path: Path
) -> None:
    shutil.copytree(run / "trial", tmp_path / "trial")
    shutil.copytree(timid, tmp_path / "policy")
    page = report_of(tmp_path / "trial", tmp_path / "report.html")
    assert "552" in page.text  # found where the journal's header says, by its digest


def test_a_torn_journal_is_reported_as_far_as_it_goes(run: Path, tmp_path: Path) -> None:
    content = (run / "trial" / "journal.bin").read_bytes()
    (tmp_path / "journal.bin").write_bytes(content[: len(content) // 2 + 3])
    page = report_of(tmp_path, tmp_path / "report.html")
    assert "The journal's end is torn" in page.text
    assert "Ended early" in page.text


@pytest.mark.parametrize("cut", [0.02, 0.05, 0.1])
def test_a_journal_that_hardly_began_makes_a_report(run: Path, tmp_path: Path, cut: float) -> None:
    content = (run / "trial" / "journal.bin").read_bytes()
    (tmp_path / "journal.bin").write_bytes(content[: max(2500, int(len(content) * cut))])
    page = report_of(tmp_path, tmp_path / "report.html")
    assert "The pole did not come up" in page.text


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        (None, b"", "no .*/nothing; name the folder of a run"),
        ("README", b"hello", "holds no summary.json, journal.bin or sweep.json"),
        ("summary.json", b"{", "is not JSON"),
        ("summary.json", b"[1]", "is not an object of stages"),
        ("journal.bin", b"PK\x03\x04", "is not a sparsectl journal"),
    ],
)
def test_a_wrong_path_gets_one_line(
    tmp_path: Path, name: str | None, content: bytes, complaint: str
) -> None:
    folder = tmp_path / "nothing"
    if name:
        folder.mkdir()
        (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        write_report(ReportConfig(folder))
    assert "\n" not in str(caught.value)
    assert not (folder / "report.html").exists()


def test_a_damaged_episode_gets_one_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("{}")
    (tmp_path / "evaluate_teacher_trace.npz").write_bytes(b"PK no archive")
    with pytest.raises(UserError, match="is not a recorded episode"):
        write_report(ReportConfig(tmp_path))


def test_the_network_shows_every_choice() -> None:
    """All weights of the last layer lead to the action, whichever choice they are of."""
    graph = choosing_graph()
    last = graph.layers[-1]
    assert last.activation == "argmax" and last.outputs == 3
    assert len(live_neurons(graph)[-1]) == 3
    picture = draw_network(graph)
    whole = sum(
        int(np.count_nonzero(layer.weight[above][:, below]))
        for layer, below, above in zip(
            graph.layers, live_neurons(graph), live_neurons(graph)[1:], strict=False
        )
    )
    assert picture.svg.count("<path") == whole
    assert "3 choices" in picture.svg
    assert all(f">{duty:g}</text>" in picture.svg for duty in graph.action[0].levels)


def test_the_network_shows_every_live_weight_once() -> None:
    graph = timid_graph()
    alive = live_neurons(graph)
    whole = sum(
        int(np.count_nonzero(layer.weight[alive[index + 1]][:, alive[index]]))
        for index, layer in enumerate(graph.layers)
    )
    picture = draw_network(graph)
    assert picture.svg.count("<path") == whole
    assert sum(map(sum, picture.use.counts)) == np.count_nonzero(graph.layers[0].weight)
    assert [len(row) for row in picture.use.counts] == [5] * 5
    for signal in graph.observation:
        assert signal.name.split("_")[0] in picture.svg


def test_motion_kicks_chain_and_inputs_are_told(html: str) -> None:
    assert "RMS angle from the capture on" in html and "RMS effort (duty)" in html
    assert "Kicks, added to the policy" in html and "peak angle after it" in html
    assert "cut off at" in html and "not cut off" in html
    assert "m or rad" not in html and "Base position (mm)" in html


def test_the_latency_chain_of_the_terminal_is_in_the_report(easy: Path, tmp_path: Path) -> None:
    trial = run_trial(
        TrialConfig(
            policy=easy,
            rig=str(EASY_RIG),
            mode="host",
            seconds=0.5,
            swing_up_limit_s=1.0,
            link_timeout_ticks=10,
            firmware=easy.parent / "firmware",
            out=tmp_path / "trial",
        )
    )
    html = (tmp_path / "trial" / "report.html").read_text()
    if trial["latency_us"] is None:
        pytest.skip("the machine was too busy for a tick")
    assert "Where the time of a tick goes" in html
    for label in (
        "On the line to the host",
        "Policy on the host",
        "On the line to the board",
    ):
        assert label in html


def test_a_comparison_tells_settling_as_the_report_does() -> None:
    """A kick that never left the settled band read "0 s" there."""
    kicks = [Disturbance(1.0, 0.3, 0.1, settling_s) for settling_s in (None, 0.0, 0.42)]
    assert settling_times(kicks) == "never, stayed within, 0.42 s"
    assert settling_times([]) == "–"


def test_two_trials_over_each_other(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run / "trial", other)
    result = write_report(ReportConfig(run, other=other))
    out = run / "comparison.html"
    assert result["report"] == str(out)
    html = out.read_text()
    page = Page(html)
    assert "against" in page.sections
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert len(page.ids) == len(set(page.ids))
    assert "Within ±2.9° for good after each kick" in html and "other" in html
    out.unlink()
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "summary.json").write_text("{}")
    with pytest.raises(UserError, match="empty holds no trial; name two trials' folders"):
        write_report(ReportConfig(run, other=empty))


def test_a_place_that_cannot_be_written_is_refused_before_the_report_is_drawn(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "render", lambda *_: pytest.fail("it was drawn"))
    with pytest.raises(UserError, match="give another --out"):
        write_report(ReportConfig(run, Path("/proc/zz/report.html")))
