"""Describe an export: in policy.json, at the head of policy.h and on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.inputs import CALIBRATION, LIMITS, NORMALISER, SCALES, Inputs
from sparsectl.export.other_choices import chooses, chosen_actions
from sparsectl.export.source.source import Source
from sparsectl.export.straddle import Straddling
from sparsectl.export.task_choice import described_tasks
from sparsectl.export.verify import Proof
from sparsectl.policy.activations import Float32
from sparsectl.policy.folder import CHOSEN
from sparsectl.policy.graph import PolicyGraph

MET = {
    CALIBRATION: "other rows of the calibration file",
    LIMITS: "spread over the signals' limits",
    NORMALISER: "spread over 3 scales around the offset of the model's normaliser",
    SCALES: "within 3, as nothing says what the inputs range over",
}
"""Describes the observations that the policy is assumed to encounter, by the source of their
range."""

Held = tuple[float, float]
"""The least and the greatest value of a signal in the observations on which the encoding was
judged."""

_ACCURACY = ("max_abs_error", "error_limit", "action_range", "observations", "choices")
_SHOWN = 3


def source_facts(source: Source, inputs: Inputs) -> dict[str, Any]:
    """Return which file and output the policy comes from, and how its input ranges are known."""
    facts: dict[str, Any] = {
        "source": source.file,
        "source_sha256": source.sha256,
        "output": source.output,
        "inputs_from": inputs.known_from,
    }
    if source.unused_inputs:
        facts["unused_inputs"] = list(source.unused_inputs)
    return facts | ({"source_data_sha256": source.data_sha256} if source.data_sha256 else {})


def description(
    source: Source,
    inputs: Inputs,
    policy: EncodedPolicy,
    verified: dict[str, Any],
    beyond: float | None,
    held: Sequence[Held],
) -> dict[str, Any]:
    """Return the description for policy.json, which adds the hashes of the files."""
    graph, encoding = policy.graph, policy.encoding
    return {
        "digest": graph.digest,
        **source_facts(source, inputs),
        "encoding": {"name": encoding.name, "kind": encoding.kind, "summary": encoding.summary},
        "kept_weights": graph.kept_weights,
        "environment": graph.environment,
        "signals": graph.signals(),
        **state_facts(graph),
        "tasks": described_tasks(graph),
        CHOSEN: np.flatnonzero(chosen_actions(graph)[: len(graph.action)]).tolist(),
        "inputs": input_facts(inputs, policy, held),
        "accuracy": {name: verified[name] for name in (*_ACCURACY, "sequences") if name in verified}
        | {"observed": MET[inputs.known_from], "error_up_to_cut_off": beyond},
    }


def state_facts(graph: PolicyGraph) -> dict[str, Any]:
    """Return the facts about a recurrent policy's state; none if it keeps none."""
    if not graph.state_size:
        return {}
    return {"state": {"size": graph.state_size, "reset": list(graph.reset_state)}}


def held_within(observations: Float32, signals: int) -> list[Held]:
    """Return for each signal its least and greatest value in [count, observation_size], over all
    frames."""
    frames = observations.reshape(len(observations), -1, signals)
    ends = zip(frames.min(axis=(0, 1)), frames.max(axis=(0, 1)), strict=True)
    return [(float(low), float(high)) for low, high in ends]


def input_facts(
    inputs: Inputs, policy: EncodedPolicy, held: Sequence[Held]
) -> list[dict[str, Any]]:
    """Return for each signal its name, its known range and the source of that, where the encoding
    saturates it (at ±cut_off, the least of its frames; None: nowhere), and its range when the
    accuracy was measured."""
    signals = len(policy.graph.observation)
    cut_offs = cut_off_of_signals(policy)
    low, high = inputs.low, inputs.high
    if inputs.kept is not None:  # what else is known was not what scales were chosen by
        low, high = inputs.kept.min(axis=0), inputs.kept.max(axis=0)
    return [
        {
            "name": inputs.names[index],
            "low": float(low[index::signals].min()),
            "high": float(high[index::signals].max()),
            "from": CALIBRATION if inputs.calibration is not None else inputs.kinds[index],
            "cut_off": None if cut_offs is None else cut_offs[index],
            "held_low": held[index][0],
            "held_high": held[index][1],
        }
        for index in range(signals)
    ]


def cut_off_of_signals(policy: EncodedPolicy) -> list[float] | None:
    """Return the magnitude at which each signal saturates, the least of its frames; None:
    nowhere."""
    cut_off = policy.observation_cut_off
    if cut_off is None:
        return None
    signals = len(policy.graph.observation)
    frames = np.array(cut_off).reshape(-1, signals)
    return [float(value) for value in frames.min(axis=0)]


def header_lines(source: Source, inputs: Inputs, proof: Proof, beyond: float | None) -> list[str]:
    """Return the lines of policy.h about source and accuracy, as plain text."""
    accuracy = proof.encoding
    lines = [f"source       {source.file}", f"sha256       {source.sha256}"]
    if source.output is not None:
        lines.append(f"output       {source.output}")
    if source.unused_inputs:
        lines.append(f"not read     {', '.join(source.unused_inputs)}: leads to no action")
    count = len(proof.met.observations)
    if proof.choices is not None:
        lines += [f"accuracy     another choice for {proof.choices.words},"]
        if not chooses(proof.graph):
            lines += [
                f"             the other actions within {accuracy.difference:.2g} of the source,"
            ]
    else:
        what = "ticks, the next state too" if proof.keeps_state else "observations"
        lines.append(
            f"accuracy     within {accuracy.difference:.2g} of the source on {count} {what},"
        )
    lines.append(f"             {MET[inputs.known_from]}")
    if beyond is not None:
        seen = f"be {beyond:.2g} off" if proof.choices is None else "choose otherwise"
        if proof.choices is None or beyond > 0:
            lines.append(f"beyond them  seen to {seen} before inputs are cut off: not judged")
    return lines


def proof_lines(
    source: Source,
    inputs: Inputs,
    policy: EncodedPolicy,
    straddling: Straddling,
    verified: dict[str, Any],
    beyond: float | None,
) -> dict[str, str]:
    """Return three lines: what is proven, on which inputs, and what is not."""
    named = source.file if source.output is None else f"{source.file}, output {source.output!r}"
    errors = verified["max_abs_error"]
    reached = straddling.thresholds - len(straddling.unreached)
    where = f"{verified['observations']} observations {MET[inputs.known_from]}"
    if (run := verified.get("sequences")) is not None:
        where = (
            f"{run['sequences']} sequences of up to {run['longest']} ticks, {run['ticks']} in all, "
            f"from a reset to the next, and on each of their ticks: observations "
            f"{MET[inputs.known_from]}"
        )
    if verified["observations_beyond"]:
        where += f"; the float32 policy on {verified['observations_beyond']} beyond them"
    if straddling.thresholds:
        where += f", on both sides of {reached} of the file's {straddling.thresholds} thresholds"
    kept = (
        f"within {errors['host_c']:.2g} of {named}, in {source.run_by} (policy.onnx: "
        f"{errors['onnxruntime']:.2g}; the file's own rounding: {errors['source']:.2g})"
    )
    if (choices := verified["choices"]) is not None:
        kept = (
            f"chooses as {named} does in {source.run_by}, but for {choices['other']} of "
            f"{choices['observations']} observations (a share of at most "
            f"{choices['share_high']:.2g}, 95 % interval); {choices['ties']} are ties, "
            "which float32's rounding decides"
        )
        if not chooses(policy.graph):
            kept += f"; its other actions are within {errors['host_c']:.2g}"
    return {
        "proven": f"policy.c is its reference bit for bit, and {kept}",
        "on": where,
        "not proven": _not_proven(inputs, policy, straddling.unreached, verified, beyond),
    }


def _not_proven(
    inputs: Inputs,
    policy: EncodedPolicy,
    unreached: Sequence[str],
    verified: dict[str, Any],
    beyond: float | None,
) -> str:
    parts = []
    choices = verified["choices"]
    if choices is None and verified["max_abs_error"]["source"] > verified["error_limit"]:
        parts.append(
            "that policy.c repeats the file's own rounding, which is coarser than the limit of "
            f"{verified['error_limit']:.2g}"
        )
    if unreached:
        more = f" and {len(unreached) - _SHOWN} more" if len(unreached) > _SHOWN else ""
        parts.append(
            f"thresholds that no observation reached: {', '.join(unreached[:_SHOWN])}{more}"
        )
    if policy.input_cut_off is not None:
        cut = cut_off_of_signals(policy) or []
        names = list(inputs.names[: len(cut)])
        shown = [f"{n} ±{c:.4g}" for n, c in zip(names[:_SHOWN], cut[:_SHOWN], strict=True)]
        more = ", …" if len(cut) > _SHOWN else ""
        seen = f"be {beyond or 0:.2g} off" if choices is None else "choose otherwise"
        parts.append(
            f"inputs beyond those observations: seen to {seen} before they are cut off "
            f"({', '.join(shown)}{more})"
        )
    elif inputs.known_from == SCALES:
        parts.append("that these are inputs the policy meets: give --calibration or --range")
    else:
        parts.append("inputs that the policy does not meet")
    parts.append("bits and time on a chip (sparsectl bench, or --board)")
    return "; ".join(parts)
