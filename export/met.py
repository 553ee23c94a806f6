"""The data on which a policy is judged: batches of observations, and for a policy that keeps a
state the ticks of sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsectl.export.config import ExportConfig
from sparsectl.export.encodings.registry import ROUNDED
from sparsectl.export.inputs import Batch, Inputs
from sparsectl.export.judged import widest_count
from sparsectl.export.source.source import Source
from sparsectl.export.straddle import Straddling, astride, straddle
from sparsectl.export.ticks import Sequences, sequences, tick_inputs
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import PolicyGraph

TICKS = 4000
"""The most observations by which fixed-point scales are chosen."""


@dataclass(frozen=True)
class Met:
    """Observations, or ticks."""

    batches: list[Batch]
    straddling: Straddling
    golden: Float32
    """Observations for the golden vectors, tick after tick."""
    sequences: Sequences | None
    """For a policy that keeps a state: the sequences that it is run on."""

    @property
    def observations(self) -> Float32:
        """Return the observations that the policy encounters, without a state."""
        met = self.batches[0].observations
        return met if self.sequences is None else self.sequences.observations


def for_scales(config: ExportConfig, graph: PolicyGraph, source: Source, inputs: Inputs) -> Float32:
    """Return the observations or ticks by which fixed-point scales are chosen, [count, inputs of a
    tick]."""
    if not graph.state_size:
        return inputs.for_scales(config.seed + 2)
    count = widest_count(graph.step_graph, TICKS)
    run = sequences(inputs, count, config.seed + 2, for_scales=True)
    return run.rows(source.exact, graph.initial_state().astype(np.float64))


def met_by(config: ExportConfig, graph: PolicyGraph, source: Source, inputs: Inputs) -> Met:
    """Return all data for a graph after its passes."""
    if graph.state_size:
        return _ticks(config, graph, source, inputs)
    count = widest_count(graph, config.observations)
    batches = [Batch("that it meets", inputs.met(count, config.seed))]
    if inputs.calibration is not None:
        batches.append(Batch("over its range", inputs.spread(count, config.seed), "either"))
    batches, straddling = _with_others(config, source, inputs, batches)
    golden = inputs.golden(config.vectors, config.seed + 1)
    return Met(batches, straddling, golden, None)


def _ticks(config: ExportConfig, graph: PolicyGraph, source: Source, inputs: Inputs) -> Met:
    """Return ticks; the state at each is the source's own, in float64."""
    start = graph.initial_state().astype(np.float64)
    count = widest_count(graph.step_graph, config.observations)
    run = sequences(inputs, count, config.seed)
    rows = run.rows(source.exact, start)
    of_ticks = tick_inputs(inputs, rows)
    batches = [Batch("that it meets", rows)]
    if inputs.calibration is not None:
        batches.append(Batch("over its range", of_ticks.spread(count, config.seed), "either"))
    batches, straddling = _with_others(config, source, of_ticks, batches)
    golden = sequences(inputs, max(config.vectors, 2), config.seed + 1).observations
    golden = np.resize(golden, (config.vectors, golden.shape[1]))
    return Met(batches, straddling, golden, run)


def _with_others(
    config: ExportConfig, source: Source, inputs: Inputs, batches: list[Batch]
) -> tuple[list[Batch], Straddling]:
    """Return the observations that the policy encounters, others beyond these, and pairs on both
    sides of the source's thresholds."""
    batches = batches + inputs.wider(config.seed)
    known = np.concatenate([batch.observations for batch in batches])
    straddling = straddle(source, known, *inputs.box(), config.seed)
    batches.append(Batch("beside a threshold", straddling.observations, "met"))
    if config.encoding in ROUNDED:
        beside = astride(source, batches[0].observations)
        batches.append(Batch("that it meets, beside a threshold", beside, "met", is_astride=True))
    return [batch for batch in batches if len(batch.observations)], straddling
