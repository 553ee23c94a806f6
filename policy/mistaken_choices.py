"""Warn where a file's choices may be taken for what they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from sparsectl.common.warning import warn
from sparsectl.policy.choices import Choices
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.onnx_file.output import choose_output, names_mean, names_values
from sparsectl.policy.onnx_file.tensors import short


def warn_of_values(path: Path, graph: PolicyGraph, wanted: str | None) -> None:
    """Warn if what is taken for actions seems to be the values of choices, and nothing in the file
    says what it is."""
    model: Any = onnx.load(path, load_external_data=False)
    said = any(entry.key == "sparsectl.signals" for entry in model.metadata_props)
    output = choose_output([value.name for value in model.graph.output], wanted)
    last = graph.layers[-1].activations
    if graph.action_size > 1 and not said and (names_values(output) or "softmax" in last):
        warn(
            f"{path}: output {short(output)} seems to have a value for each of "
            f"{graph.action_size} choices, and becomes {graph.action_size} actions; with --argmax "
            "the action is the index of the greatest"
        )


def warn_of_mean(path: Path, wanted: str | None) -> None:
    """Warn if the output whose greatest value the user takes for the choice is called the mean of
    continuous actions."""
    model: Any = onnx.load(path, load_external_data=False)
    output = choose_output([value.name for value in model.graph.output], wanted)
    if names_mean(output):
        warn(
            f"{path}: output {short(output)} has the name of a mean of continuous actions, and "
            "with --argmax the action is the index of its greatest value; leave --argmax out if it "
            "is one"
        )


def warn_of_count(path: Path, choices: Choices) -> None:
    """Say that the library numbers choices from 0 whatever the action_space says, in its `predict`
    and in the environment that it trains in."""
    warn(
        f"{path}: its action_space numbers the choices from {choices.first} to {choices.last}, and "
        f"so do its actions here; Stable-Baselines3's own predict gives 0 to {choices.count - 1}, "
        "also to the environment that it trains in: check which of them yours understands"
    )
