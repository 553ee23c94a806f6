"""Prove that an export is the policy: compare the user's model with every way to run the export, on
the same observations. docs/proof.md says what that proves and what it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.scratch import scratch_folder
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.finite import finite_inside, require_finite_actions
from sparsectl.export.host_c import load_c, load_recurrent_c
from sparsectl.export.inputs import Batch
from sparsectl.export.judged import CHUNK_VALUES, JUDGED, Judged, require_agreement
from sparsectl.export.larger_error import larger_error
from sparsectl.export.other_choices import (
    OtherChoices,
    chooses,
    chosen_actions,
    compare_choices,
)
from sparsectl.export.policy_onnx import acting, open_session
from sparsectl.export.same_bits import require_same_bits
from sparsectl.export.sequence_proof import Limits, SequenceProof
from sparsectl.export.source.rounding import SourceRounding
from sparsectl.export.source.source import Source
from sparsectl.export.task_choice import check_task_choices
from sparsectl.export.ticks import Sequences
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.graph import PolicyGraph

Progress = Callable[[str], None]

DEFAULT_ERROR = {"float32": 1e-6, "float16": 5e-3, "int16": 5e-3, "int8": 5e-2}
"""Greatest difference from the model, relative to the action's range, by the form of a weight."""
TRANSLATION_SHARE = 1e-2
"""The limit before encoding: a hundredth of that after it, and at least float32's 1e-6."""
MOST_SPANS = 4.0
"""The most by which an action's range may exceed its values' span, for judging errors."""

_SHOWN = 6


class Proof:
    """The source's actions for batches of observations, and what is held against them.

    The actions of float64 are the truth, so that each way to run it is judged by its own rounding
    alone. Where the source's float32 run is further from them than float32 explains (it computes in
    something coarser, or a comparison fell otherwise), its actions are as true as those.
    """

    def __init__(
        self,
        source: Source,
        policy: EncodedPolicy,
        batches: Sequence[Batch],
        error: float | None,
        sequences: Sequences | None = None,
    ) -> None:
        """Run the source on all batches.

        Args:
            source, batches: for a policy that keeps a state, those of its tick. The first batches
                are the observations that the policy encounters, on which the encoding is judged;
                on the others the float32 policy must equal the source too.
            error: the greatest difference, relative to the action's range; None: DEFAULT_ERROR.
            sequences: for a policy that keeps a state, the sequences that it is run on.

        Raises:
            UserError: an action is not finite for an observation that the policy encounters.
        """
        self._source, self._policy, self._error = source, policy.tick, error
        self._whole, self._sequences = policy, sequences
        self._batches: list[Batch] = []
        self._truths: list[tuple[Float64, Float64]] = []
        self._ranges: list[Float64] = []
        self._references: list[Float32] = []
        self._rounding = SourceRounding(source, policy.tick.graph.action_size)
        self._overflowing: dict[int, NDArray[np.bool_]] = {}
        self._chunk = int(np.clip(CHUNK_VALUES // policy.graph.widest, 1, 4096))
        self.source_error = 0.0
        for index, batch in enumerate(batches):
            self._add(batch, is_met=index == 0)

    def _add(self, batch: Batch, is_met: bool) -> None:
        observations = batch.observations
        own = self._source.run(observations).astype(np.float64)
        exact = self._source.exact(observations)
        if not is_met:  # far out, what overflows in the source itself has no meaning to compare
            finite = np.isfinite(own).all(axis=1) & np.isfinite(exact).all(axis=1)
            observations, own, exact = observations[finite], own[finite], exact[finite]
            if not len(observations):
                return
        reference = self._in_chunks(self._policy.forward, observations)
        if is_met:
            require_finite_actions(own, observations, f"of {self._source.file} itself ")
            where = (
                "in C, where no argmax chooses among NaN, " if chooses(self._policy.graph) else ""
            )
            require_finite_actions(reference, observations, where)
        batch = replace(batch, observations=observations)
        reach = self._range_of(batch, exact)
        with np.errstate(invalid="ignore"):
            difference = np.abs(own - exact)
        limit = np.broadcast_to(DEFAULT_ERROR["float32"] * reach, exact.shape)
        explained = difference <= self._rounding.raised(batch, difference, limit)[0]
        if is_met:
            require_agreement(self._source, np.where(explained, 0.0, difference / reach))
            self._met_own = own
            self.source_error = float(difference.max())
        self._batches.append(batch)
        self._ranges.append(reach)
        self._truths.append((exact, np.where(explained, exact, own)))
        self._references.append(reference)

    def _range_of(self, batch: Batch, actions: Float64) -> Float64:
        """Return the range by which an error in the batch is divided, [action_size]."""
        if batch.judged_by == "own" or not self._ranges:
            return self.action_range(actions)
        met = self._ranges[0]
        return met if batch.judged_by == "met" else np.maximum(met, self.action_range(actions))

    @property
    def graph(self) -> PolicyGraph:
        return self._whole.graph

    @property
    def keeps_state(self) -> bool:
        return self._sequences is not None

    @property
    def met(self) -> Batch:
        """Return the observations that the policy encounters."""
        return self._batches[0]

    def action_range(self, actions: Float64) -> Float64:
        """Return high - low of each action, at most `MOST_SPANS` times the actions' span; without a
        limit their span, or their greatest magnitude if they are constant."""
        span, magnitude = np.ptp(actions, axis=0), np.abs(actions).max(axis=0)
        most = np.where(span > 0, MOST_SPANS * span, np.inf)
        span = np.where(span > 0, span, np.where(magnitude > 0, magnitude, 1.0))
        signals = self._policy.graph.action
        known = [np.nan if s.low is None or s.high is None else s.high - s.low for s in signals]
        limits = np.minimum(known, most)
        return np.where(np.isnan(known) | (np.array(known) == 0), span, limits)

    @cached_property
    def choices(self) -> OtherChoices | None:
        """Return its share of other choices; None if no action is discrete, or one of a policy that
        keeps a state, whose next state counts as actions here, is not."""
        graph = self._policy.graph
        if not (chooses(graph) or (self._chosen.any() and not self.keeps_state)):
            return None
        found = self._references[0].astype(np.float64)
        met = self.met.observations.astype(np.float64)
        return compare_choices(graph, met, found, self._truths[0][0], self._met_own)

    @property
    def _chosen(self) -> NDArray[np.bool_]:
        return chosen_actions(self._policy.graph)

    @cached_property
    def _by_difference(self) -> NDArray[np.bool_]:
        """Return which actions are judged by their difference: all, but for the choices in an
        encoding that rounds, which are judged by the share of other choices."""
        rounds = self._policy.encoding.kind != "float32"
        return ~self._chosen | (self.choices is None or not rounds)

    def _judge_choices(self, other: OtherChoices, share: float) -> Judged:
        """Judge by the share of observations alone: beside a threshold all of them would differ."""
        if other.share > share:
            raise UserError(
                f"{self._policy.encoding.name} chooses differently from {self._source.file} for "
                f"{other.words} where a share of {share:g} is allowed; "
                f"{larger_error(other.share, is_rounded=True)}"
            )
        if self._by_difference.any():  # the greatest difference is that of these
            return Judged(0.0, other.share, 0.0)
        difference = np.abs(self._references[0] - self._truths[0][0])
        return Judged(float(difference.max()), other.share, 0.0)

    @cached_property
    def encoding(self) -> Judged:
        """Measure how far the encoded policy is from the source on what it encounters.

        Raises:
            UserError: further than its kind, or `error`, allows.
        """
        kind = self._policy.encoding.kind
        share = DEFAULT_ERROR[kind] if self._error is None else self._error
        judged = []
        if self.choices is not None and not self._by_difference.all():
            judged.append(self._judge_choices(self.choices, share))
        if self._by_difference.any():
            if self.choices is not None and self._chosen.all():
                share = DEFAULT_ERROR[kind]
            rounds = self._error is None or self.choices is not None
            judged += [
                self._judge(
                    "numpy", self._references[index], index, share, rounds=rounds, is_requested=True
                )
                for index, batch in enumerate(self._batches)
                if index == 0 or batch.is_astride
            ]
        return Judged(*(max(getattr(each, name) for each in judged) for name in JUDGED))

    def check_translation(self) -> None:
        """Hold the float32 policy against the source on all batches.

        Raises:
            UserError: it is another function, or lost more than float32 does in the source's order.
        """
        is_float = self._policy.encoding.kind == "float32"
        for index, batch in enumerate(self._batches):
            actions = self._references[index]
            if not is_float:
                actions = self._in_chunks(self._policy.graph.forward, batch.observations)
            self._judge_translation("numpy", actions, index)

    def check_files(
        self,
        folder: Path,
        c_folder: Path,
        prefix: str,
        progress: Progress,
        *,
        runs_c: bool = True,
    ) -> dict[str, Any]:
        """Hold policy.onnx of `folder` in onnxruntime and the C of this prefix in `c_folder`, on
        this machine, against the source, and the C against the reference in every bit.

        runs_c: False leaves the C of a policy without a state to whoever runs it on a board.

        Returns:
            max_abs_error of each way to run it, on the observations that the policy encounters, and
            error_limit, in units of the action; action_range; max_error_share, the greatest error
            relative to it; choices, for discrete actions (`OtherChoices`; in an encoding that
            rounds, error_limit and max_error_share are then shares of observations with another
            choice, unless other actions are beside them, of which all but max_error_share speak
            then); float32_rounding, if the source's had to be computed; within_error, whether it
            had not; bit_exact; observations, their number in all.

        Raises:
            UserError: one differs by more than is allowed; the C differs in a bit; no C compiler.
        """
        found = {"numpy": self.encoding}
        progress("onnxruntime")
        session = open_session(folder / "policy.onnx")
        by_onnx = acting(session, self._whole.graph)
        onnx = [self._in_chunks(by_onnx, b.observations) for b in self._batches]
        judged = [self._judge_translation("onnxruntime", a, i) for i, a in enumerate(onnx)]
        found["onnxruntime"] = judged[0]
        progress("host C")
        graph, over = self._whole.graph, {}
        sizes = graph.action_size, graph.state_size
        with scratch_folder("verify") as scratch:
            met = self.met.observations
            act: Callable[[Float32], Float32] | None = None
            if self._sequences is not None:
                c = load_recurrent_c(c_folder, *sizes, scratch, prefix)
                act = self._whole.over_floats(c.ticks)
                over = self._over_sequences(self._sequences).check(c, by_onnx, self._limits)
            elif runs_c:
                act = load_c(c_folder, graph.action_size, scratch, prefix)
            if act is not None:
                for index, reference in enumerate(self._references):
                    found_here = act(self._batches[index].observations)
                    require_same_bits(reference, found_here, partial(self._overflows, index))
                first = self._references[0]
                check_task_choices(graph, session, c_folder, scratch, prefix, met, first)
        found["host_c"] = self.encoding  # of the same bits
        kind = self._policy.encoding.kind
        limits, ranges = self._limit(0, DEFAULT_ERROR[kind]), self._ranges[0][: graph.action_size]
        judged_so = self._by_difference[: graph.action_size]
        if judged_so.any():
            limits, ranges = limits[: graph.action_size][judged_so], ranges[judged_so]
        else:
            limits = limits / self._ranges[0]  # a share of observations
        rounding = max(each.rounding for each in (self.encoding, *judged))
        return {
            "max_abs_error": {"source": self.source_error}
            | {name: each.difference for name, each in found.items()},
            "error_limit": float(np.atleast_1d(limits).min()),
            "action_range": float(ranges.min()),
            "max_error_share": max(each.share for each in found.values()),
            "float32_rounding": rounding,
            "within_error": rounding == 0.0,
            "bit_exact": act is not None,
            "observations": len(self.met.observations),
            "observations_beyond": sum(len(b.observations) for b in self._batches[1:]),
            "source_run_by": self._source.run_by,
            "choices": None if self.choices is None else self.choices.to_json(),
            **over,
        }

    def _over_sequences(self, sequences: Sequences) -> SequenceProof:
        acted = self._whole.graph.action_size
        start = self._whole.graph.initial_state()
        return SequenceProof(self._source, self._whole, sequences, start, self._ranges[0][:acted])

    @property
    def _limits(self) -> Limits:
        kind = DEFAULT_ERROR[self._policy.encoding.kind]
        translated = max(DEFAULT_ERROR["float32"], TRANSLATION_SHARE * kind)
        return Limits(kind if self._error is None else self._error, translated, self._error is None)

    def _limit(self, index: int, share: float) -> Float64:
        share = share if self._error is None else self._error
        return share * self._ranges[index]

    def _judge_translation(self, name: str, actions: Float32, index: int) -> Judged:
        kind = DEFAULT_ERROR[self._policy.encoding.kind]
        share = max(DEFAULT_ERROR["float32"], TRANSLATION_SHARE * kind)
        if self._error is not None and self._error < share and self.choices is None:
            return self._judge(name, actions, index, self._error, rounds=False, is_requested=True)
        return self._judge(name, actions, index, share, rounds=True, is_requested=False)

    def _judge(
        self,
        name: str,
        actions: Float32,
        index: int,
        share: float,
        *,
        rounds: bool,
        is_requested: bool,
    ) -> Judged:
        """rounds: whether float32's own rounding in the source is an excuse; is_requested: whether
        the limit is `--error`, so that a larger one would do."""
        batch, (truth, other), reach = (
            self._batches[index],
            self._truths[index],
            self._ranges[index],
        )
        found = actions.astype(np.float64)
        with np.errstate(invalid="ignore"):
            difference = np.minimum(np.abs(found - truth), np.abs(found - other))
        difference[np.isnan(difference)] = np.inf
        difference[self._lost(index, actions)] = 0.0
        if is_requested:
            difference[:, ~self._by_difference] = 0.0
        allowed, rounding = np.broadcast_to(share * reach, truth.shape), 0.0
        if rounds:
            allowed, rounding = self._rounding.raised(batch, difference, allowed)
        over = difference / allowed
        worst = np.unravel_index(np.argmax(over), over.shape)
        if over[worst] > 1:
            row, column = worst
            raise UserError(
                f"{name} differs by {difference[worst]:.3g} from {self._source.file} in "
                f"{self._source.run_by} (action {column} is {actions[worst]:.6g}, not "
                f"{truth[worst]:.6g}, for an observation {batch.name}, "
                f"{_shown(batch.observations[row])}) where {allowed[worst]:.3g} is allowed; "
                f"{self._mend(is_requested, float((difference / reach).max()), rounding)}"
            )
        return Judged(float(difference.max()), float((difference / reach).max()), rounding)

    def _mend(self, is_requested: bool, needed: float, rounding: float) -> str:
        if not is_requested:
            return (
                f"float32 in the file's own order explains {rounding:.2g} at most: the file was "
                "not read as it stands, or lost accuracy on the way; export it in other nodes and "
                "report this"
            )
        return larger_error(needed, is_rounded=self._policy.encoding.kind != "float32")

    def _lost(self, index: int, actions: Float32) -> NDArray[np.bool_]:
        """Return which actions far out are not finite since a value inside is not: see policy.h."""
        lost = ~np.isfinite(actions)
        return lost & self._overflows(index)[:, None] if lost.any() else lost

    def _overflows(self, index: int) -> NDArray[np.bool_]:
        """Return for which of a batch's observations a value inside the policy is not finite in
        float32; none of those that the policy encounters."""
        if index == 0 or self._batches[index].is_astride:
            return np.zeros(len(self._batches[index].observations), bool)
        if index not in self._overflowing:
            observations = self._batches[index].observations
            inside = partial(finite_inside, self._policy.graph)
            self._overflowing[index] = self._in_chunks(inside, observations) == 0
        return self._overflowing[index]

    def _in_chunks(self, act: Callable[[Any], Float32], observations: Float32) -> Float32:
        starts = range(0, len(observations), self._chunk)
        with np.errstate(all="ignore"):  # the comparison below reports what is not finite
            return np.concatenate([act(observations[at : at + self._chunk]) for at in starts])


def _shown(observation: Float32) -> str:
    values = [f"{value:.6g}" for value in observation[:_SHOWN]]
    return f"[{', '.join(values)}{', …' if len(observation) > _SHOWN else ''}]"
