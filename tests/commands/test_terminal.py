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


def test_what_is_too_wide_comes_below_with_its_first_column(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [f"figure_with_a_name_{number}" for number in range(12)]
    print_result({"steps": [{"name": step} | dict.fromkeys(names, 8.6284e7) for step in "ab"]})
    printed = capsys.readouterr().out
    assert printed.count("8.6284e+07") == 24 and max(map(len, printed.splitlines())) <= 160
    heads = [line.split() for line in printed.splitlines() if line.startswith("name")]
    assert [head[0] for head in heads] == ["name", "name"]
    assert sum((head[1:] for head in heads), []) == names


def test_a_sentence_wraps_where_its_words_fit(capsys: pytest.CaptureFixture[str]) -> None:
    why = "it has no scale for what the hidden layer gives " * 6
    print_result({"candidates": [{"encoding": "csr", "cycles": 1234, "why": why}] * 2})
    printed = capsys.readouterr().out
    assert printed.count("encoding") == 1 and printed.split().count("scale") == 12
