"""Results as people read them."""

from __future__ import annotations

import pytest

from sparsectl.command_line.terminal import print_result


def test_figures_are_lines_and_lists_of_entries_are_tables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_result(
        {
            "return_mean": -3.123456,
            "config": {"hidden": "not shown"},
            "layers": [[25, 3, "relu"], [3, 1, "tanh"]],
            "steps": [{"name": "bpd", "kept_weights": 1200}, {"name": "finetune", "keep": 60}],
        }
    )
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "return_mean  -3.1235",
        "layers       25, 3, relu; 3, 1, tanh",
        "",
        "steps",
        "name      kept_weights  keep",
        "bpd       1200",
        "finetune                60",
    ]


def test_entries_by_name_are_a_table_and_what_is_none_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    latency = {"up": {"p50": 81.0, "max": 95.5}, "down": {"p50": 60.0}, "ticks": 7, "compute": None}
    print_result({"latency_us": latency, "disturbances": [], "board": "host"})
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "latency_us    ticks 7, compute -",
        "disturbances",
        "board         host",
        "",
        "latency_us",
        "      p50  max",
        "up    81   95.5",
        "down  60",
    ]
