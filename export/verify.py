"""Prove that an export is the policy: compare the user's model with every way to run the export, on
the same observations. docs/proof.md says what that proves and what it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.scratch import scratch_folder
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.host_c import load_c, load_recurrent_c
from sparsectl.export.inputs import Batch
from sparsectl.export.judged import DEFAULT_ERROR, JUDGED, TRANSLATION_SHARE, Judged
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
from sparsectl.export.source.source import Source
from sparsectl.export.task_choice import check_task_choices
from sparsectl.export.ticks import Sequences
from sparsectl.export.truths import Truth, Truths
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import PolicyGraph

Progress = Callable[[str], None]

_SHOWN = 6
MOST_ROUNDED: Final = 5e-3
"""Greatest error, relative to the action's range, that rounding a file's numbers to float32 is an
excuse for."""


class Proof:
    """The source's actions for batches of observations, and what is held against them.

    Args:
        source, batches: for a policy that keeps a state, those of its tick. The first batch are the
            observations that the policy encounters, on which the encoding is judged; on the others
            the float32 policy must equal the source too.
        policy: the encoded policy.
        error: the greatest difference, relative to the action's range; None: DEFAULT_ERROR.
        sequences: for a policy that keeps a state, the sequences that it is run on.

    Raises:
        UserError: an action is not finite for an observation that the policy encounters.
    """

    def __init__(
        self,
        source: Source,
        policy: EncodedPolicy,
        batches: Sequence[Batch],
        error: float | None,
        sequences: Sequences | None = None,
    ) -> None:
        self._source, self._policy, self._error = source, policy.tick, error
        self._whole, self._sequences = policy, sequences
        self._truths = Truths(source, policy.tick, batches)

    @property
    def graph(self) -> PolicyGraph:
        return self._whole.graph

    @property
    def keeps_state(self) -> bool:
        return self._sequences is not None

    @property
    def met(self) -> Batch:
        """Return the observations that the policy encounters."""
        return self._met.batch

    @property
    def _met(self) -> Truth:
        return self._truths.each[0]

    @cached_property
    def choices(self) -> OtherChoices | None:
        """Return its share of other choices; None if no action is discrete, or one of a policy that
        keeps a state, whose next state counts as actions here, is not."""
        graph = self._policy.graph
        if not (chooses(graph) or (self._chosen.any() and not self.keeps_state)):
            return None
        found = self._met.reference.astype(np.float64)
        met = self.met.observations.astype(np.float64)
        return compare_choices(graph, met, found, self._met.exact, self._truths.met_own)

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
        difference = np.abs(self._met.reference - self._met.exact)
        return Judged(float(difference.max()), other.share, 0.0)

    @cached_property
    def encoding(self) -> Judged:
        """Measure how far the encoded policy is from the source on what it encounters.

        Raises:
            UserError: further than its kind, or `error`, allows.
        """
        kind = self._policy.encoding.kind
        share = self._share(DEFAULT_ERROR[kind])
        judged = []
        if self.choices is not None and not self._by_difference.all():
            judged.append(self._judge_choices(self.choices, share))
        if self._by_difference.any():
            if self.choices is not None and self._chosen.all():
                share = DEFAULT_ERROR[kind]
            rounds = self._error is None or self.choices is not None
            judged += [
                self._judge("numpy", each.reference, each, share, rounds=rounds, is_requested=True)
                for each in self._truths.each
                if each.is_judged
            ]
        return Judged(*(max(getattr(each, name) for each in judged) for name in JUDGED))

    def check_translation(self) -> None:
        """Hold the float32 policy against the source on all batches.

        Raises:
            UserError: it is another function, or lost more than float32 does in the source's order.
        """
        is_float = self._policy.encoding.kind == "float32"
        for truth in self._truths.each:
            actions = truth.reference
            if not is_float:
                actions = self._in_chunks(self._policy.graph.forward, truth)
            self._judge_translation("numpy", actions, truth)

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
        judged = [
            self._judge_translation("onnxruntime", self._in_chunks(by_onnx, each), each)
            for each in self._truths.each
        ]
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
                for each in self._truths.each:
                    found_here = act(each.batch.observations)
                    overflows = partial(self._truths.overflows, each)
                    require_same_bits(each.reference, found_here, overflows)
                first = self._met.reference
                check_task_choices(graph, session, c_folder, scratch, prefix, met, first)
        found["host_c"] = self.encoding  # of the same bits
        kind = self._policy.encoding.kind
        reach = self._met.reach
        limits, ranges = self._share(DEFAULT_ERROR[kind]) * reach, reach[: graph.action_size]
        judged_so = self._by_difference[: graph.action_size]
        if judged_so.any():
            limits, ranges = limits[: graph.action_size][judged_so], ranges[judged_so]
        else:
            limits = limits / reach  # a share of observations
        rounding = max(each.rounding for each in (self.encoding, *judged))
        return {
            "max_abs_error": {"source": self._truths.source_error}
            | {name: each.difference for name, each in found.items()},
            "error_limit": float(np.atleast_1d(limits).min()),
            "action_range": float(ranges.min()),
            "max_error_share": max(each.share for each in found.values()),
            "float32_rounding": rounding,
            "within_error": rounding == 0.0,
            "bit_exact": act is not None,
            "observations": len(self.met.observations),
            "observations_beyond": sum(
                len(each.batch.observations) for each in self._truths.each[1:]
            ),
            "source_run_by": self._source.run_by,
            "choices": None if self.choices is None else self.choices.to_json(),
            **over,
        }

    def _over_sequences(self, sequences: Sequences) -> SequenceProof:
        acted = self._whole.graph.action_size
        start = self._whole.graph.initial_state()
        return SequenceProof(self._source, self._whole, sequences, start, self._met.reach[:acted])

    @property
    def _limits(self) -> Limits:
        kind = DEFAULT_ERROR[self._policy.encoding.kind]
        translated = max(DEFAULT_ERROR["float32"], TRANSLATION_SHARE * kind)
        return Limits(self._share(kind), translated, self._error is None)

    def _share(self, usual: float) -> float:
        return usual if self._error is None else self._error

    def _in_chunks(self, act: Callable[[Any], Float32], truth: Truth) -> Float32:
        return self._truths.in_chunks(act, truth.batch.observations)

    def _judge_translation(self, name: str, actions: Float32, truth: Truth) -> Judged:
        kind = DEFAULT_ERROR[self._policy.encoding.kind]
        share = max(DEFAULT_ERROR["float32"], TRANSLATION_SHARE * kind)
        if self._error is not None and self._error < share and self.choices is None:
            return self._judge(name, actions, truth, self._error, rounds=False, is_requested=True)
        return self._judge(name, actions, truth, share, rounds=True, is_requested=False)

    def _judge(
        self,
        name: str,
        actions: Float32,
        truth: Truth,
        share: float,
        *,
        rounds: bool,
        is_requested: bool,
    ) -> Judged:
        """rounds: whether float32's own rounding in the source is an excuse; is_requested: whether
        the limit is `--error`, so that a larger one would do."""
        difference = truth.difference(actions)
        difference[self._truths.lost(truth, actions)] = 0.0
        if is_requested:
            difference[:, ~self._by_difference] = 0.0
        allowed, rounding = np.broadcast_to(share * truth.reach, difference.shape), 0.0
        if rounds:
            allowed, rounding = self._truths.rounding.raised(truth.batch, difference, allowed)
        over, shares = difference / allowed, difference / truth.reach
        worst = np.unravel_index(np.argmax(over), over.shape)
        if over[worst] > 1:
            row, column = worst
            raise UserError(
                f"{name} differs by {difference[worst]:.3g} from {self._source.file} in "
                f"{self._source.run_by} ({self._place(column)} is {actions[worst]:.6g}, not "
                f"{truth.exact[worst]:.6g}, for an observation {truth.batch.name}, "
                f"{_shown(truth.batch.observations[row])}) where {allowed[worst]:.3g} is allowed; "
                f"{self._mend(is_requested, float(shares.max()), rounding)}"
            )
        if (
            rounds
            and truth.is_met
            and self._source.has_float64_numbers
            and shares.max() > MOST_ROUNDED
        ):
            raise UserError(
                f"{name} differs by {shares.max():.2g} of the action's range from "
                f"{self._source.file}, which holds numbers in float64 that a policy rounds to "
                "float32; export it in float32 (torch: model.float()) and see whether it still "
                "acts well, or take large offsets away before the policy"
            )
        return Judged(float(difference.max()), float(shares.max()), rounding)

    def _place(self, column: Any) -> str:
        """Return what a tick's result is called: the state follows the actions."""
        acted = self._whole.graph.action_size
        return f"action {column}" if column < acted else f"value {column - acted} of the state"

    def _mend(self, is_requested: bool, needed: float, rounding: float) -> str:
        if not is_requested:
            return (
                f"float32 in the file's own order explains {rounding:.2g} at most: the file was "
                "not read as it stands, or lost accuracy on the way; export it in other nodes and "
                "report this"
            )
        return larger_error(needed, is_rounded=self._policy.encoding.kind != "float32")


def _shown(observation: Float32) -> str:
    values = [f"{value:.6g}" for value in observation[:_SHOWN]]
    return f"[{', '.join(values)}{', …' if len(observation) > _SHOWN else ''}]"
