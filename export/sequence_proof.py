"""Proof that an export is the policy over whole sequences: a state hands on what a tick got wrong,
so that ticks that are right one by one are not enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.finite import require_finite_actions
from sparsectl.export.host_c import RecurrentC
from sparsectl.export.larger_error import larger_error
from sparsectl.export.source.source import Source
from sparsectl.export.ticks import Sequences
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.sequences import Tick, run_sequence

SAMPLES: Final = 6
"""Runs of the source with a rounding error a tick."""
MARGIN: Final = 4.0
"""By which the furthest of so few runs is exceeded."""
SAMPLED_ROWS: Final = 200
"""Ticks that the size of these errors is taken from."""


@dataclass(frozen=True)
class Limits:
    """The allowed differences of the actions."""

    share: float
    """Greatest error of the encoded policy, relative to the action's range."""
    translated: float
    """Greatest error of the float32 policy in onnxruntime, relative to the action's range."""
    rounds: bool
    """True if the float32 rounding error of the source is allowed too."""


class SequenceProof:
    """Compares other forms of the policy with the source over sequences."""

    def __init__(
        self,
        source: Source,
        policy: EncodedPolicy,
        sequences: Sequences,
        start: NDArray[np.float32],
        action_range: Float64,
    ) -> None:
        """start: the source's state after a reset; action_range: what an error is a share of,
        [action_size].

        Raises:
            UserError: an action that is not finite.
        """
        self._source, self._policy, self._sequences = source, policy, sequences
        self._start = start
        self._range = action_range
        self._exact = self._run(source.exact, start.astype(np.float64))
        self._own = self._run(source.run, start).astype(np.float64)
        self._reference = policy.run(sequences.observations, sequences.resets)
        require_finite_actions(self._reference, sequences.observations)
        self._rounding: Float64 | None = None

    def check(self, c: RecurrentC, onnx: Tick, limits: Limits) -> dict[str, Any]:
        """Hold every way to run the policy against the source, and the C against its reference in
        every bit.

        onnx: a tick of policy.onnx.

        Returns:
            sequences (ticks, sequences, longest) and, of the actions over them, max_abs_error and
            max_error_share.

        Raises:
            UserError: one differs by more than is allowed; the C differs in a bit.
        """
        given = self._sequences
        found = c.run(given.observations, given.resets)
        differs = found.view(np.uint32) != self._reference.view(np.uint32)
        if differs.any():
            tick, column = np.argwhere(differs)[0]
            raise UserError(
                f"host C differs from the numpy reference in {int(differs.sum())} actions of a "
                f"sequence (the first: {found[tick, column]!r} at tick {tick}, not "
                f"{self._reference[tick, column]!r}); use a compiler with IEEE float32 arithmetic "
                "(gcc or clang)"
            )
        start = self._policy.graph.initial_state()
        by_onnx = run_sequence(onnx, start, given.observations, given.resets).actions
        errors = {
            "source": float(np.abs(self._own - self._exact).max()),
            "numpy": self._judged("numpy", self._reference, limits.share, limits.rounds),
            "onnxruntime": self._judged("onnxruntime", by_onnx, limits.translated, True),
        }
        errors["host_c"] = errors["numpy"]
        return {
            "sequences": {
                "ticks": len(given.observations),
                "sequences": given.count,
                "longest": given.longest,
            },
            "max_abs_error": errors,
            "max_error_share": max(self._share(self._reference), self._share(by_onnx)),
        }

    def _judged(self, name: str, actions: Float32, share: float, rounds: bool) -> float:
        difference = self._difference(actions)
        allowed = np.broadcast_to(share * self._range, difference.shape)
        if rounds and (difference > allowed).any():
            allowed = np.maximum(allowed, self._rounding_of_ticks())
        over = difference / allowed
        if not (over <= 1).all():
            tick, column = np.unravel_index(int(np.argmax(over)), over.shape)
            place = tick, column
            raise UserError(
                f"{name} differs by {difference[place]:.3g} from {self._source.file} in "
                f"{self._source.run_by} over a sequence (action {column} is {actions[place]:.6g}, "
                f"not {self._exact[place]:.6g}, at tick {tick}) where {allowed[place]:.3g} is "
                f"allowed; {self._mend(float((difference / self._range).max()))}"
            )
        return float(difference.max())

    def _mend(self, needed: float) -> str:
        if self._policy.encoding.kind == "float32":
            return (
                "the state hands on what each tick rounds, more than float32 in the file's own "
                "order explains; export it in other nodes and report this"
            )
        mend = larger_error(needed, is_rounded=True)
        return f"the state hands on what each tick rounds: {mend}"

    def _difference(self, actions: Float32) -> Float64:
        found = actions.astype(np.float64)
        nearest = np.minimum(np.abs(found - self._exact), np.abs(found - self._own))
        return np.where(np.isnan(nearest), np.inf, nearest)

    def _share(self, actions: Float32) -> float:
        return float((self._difference(actions) / self._range).max())

    def _rounding_of_ticks(self) -> Float64:
        """Return how far the actions may move, [ticks, action_size], if each tick of the source is
        moved by as much as float32 may: `MARGIN` times the furthest since the reset, of the
        source's own run in float32 and of several that are moved at random.

        Where a state takes a small error for a large one, as that of a chaotic network does, when
        it does so is a matter of chance."""
        if self._rounding is None:
            self._rounding = self._sampled_rounding()
        return self._rounding

    def _sampled_rounding(self) -> Float64:
        given = self._sequences
        rows = given.rows(self._source.exact, self._start.astype(np.float64))
        some = rows[:: -(-len(rows) // SAMPLED_ROWS)]
        size = np.nan_to_num(self._source.rounding(some)).max(axis=0)
        noise = np.random.default_rng(0)

        def moved(taken: NDArray[Any]) -> Any:
            made = self._source.exact(taken)
            return made + size * noise.uniform(-1, 1, made.shape)

        furthest = np.abs(self._own - self._exact)
        for _ in range(SAMPLES):
            found = self._run(moved, self._start.astype(np.float64))
            furthest = np.fmax(furthest, np.abs(found - self._exact))
        for sequence in np.split(furthest, np.flatnonzero(given.resets)):
            np.fmax.accumulate(sequence, axis=0, out=sequence)
        return np.asarray(MARGIN * furthest, np.float64)

    def _run(self, tick: Tick, start: NDArray[Any]) -> NDArray[Any]:
        given = self._sequences
        return run_sequence(tick, start, given.observations, given.resets).actions
