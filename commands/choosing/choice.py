"""The choice of an encoding: measured candidates, limits, the Pareto front, and the best fit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from sparsectl.common.pareto_front import pareto_front

_WORDS: Final = {
    "flash": "{:.0f} bytes of flash",
    "ram": "{:.0f} bytes of RAM",
    "cycles": "{:.0f} cycles",
    "error": "an error of {:.2g} of the action's range",
}


@dataclass(frozen=True)
class Candidate:
    """An encoding as measured on a board, or the reason why it could not be measured."""

    encoding: str
    kind: str = ""
    """The form of a weight."""
    time: float = float("inf")
    """Time of the slowest call, in the board's unit of time."""
    flash: int = 0
    """Bytes more than an empty firmware."""
    ram: int = 0
    """Static bytes more than an empty firmware, plus the stack."""
    error: float = float("inf")
    """Greatest difference from the model on the verified observations, relative to the action's
    range."""
    reason: str = ""
    """Reason why it was not measured; empty if it was."""
    needs_ranges: bool = False
    """True if it was not measured because the ranges of its inputs are not known."""

    def figure(self, name: str) -> float:
        """Return the figure that the limit `name` applies to."""
        return self.time if name == "cycles" else float(getattr(self, name))

    @property
    def axes(self) -> tuple[float, ...]:
        """The axes of the Pareto front; less is better in each."""
        return (self.time, self.flash, self.ram, self.error)


@dataclass(frozen=True)
class Choice:
    """The measurements, and the choice that follows from the limits."""

    board: str
    unit: str
    """Unit of the time: cycles, instructions or microseconds."""
    limits: dict[str, float]
    """Limits of flash, ram, cycles and error, if given."""
    candidates: tuple[Candidate, ...]

    @property
    def measured(self) -> list[Candidate]:
        return [candidate for candidate in self.candidates if not candidate.reason]

    @property
    def front(self) -> list[Candidate]:
        """Return the candidates that no other dominates in time, flash, RAM and error; the fastest
        first."""
        measured = self.measured
        front = [measured[i] for i in pareto_front([c.axes for c in measured])]
        return sorted(front, key=lambda candidate: candidate.axes)

    @property
    def best(self) -> Candidate | None:
        """Return the fastest candidate within all limits; of equally fast ones the smallest."""
        fitting = [candidate for candidate in self.measured if not self.over(candidate)]
        return min(fitting, key=lambda candidate: candidate.axes, default=None)

    @property
    def nearest(self) -> Candidate | None:
        """Return the candidate that exceeds its worst limit by the least."""
        return min(self.measured, key=self._excess, default=None)

    def over(self, candidate: Candidate) -> list[str]:
        """Return the names of the limits that the candidate exceeds."""
        return [n for n, limit in self.limits.items() if not candidate.figure(n) <= limit]

    def with_candidate(self, candidate: Candidate) -> Choice:
        """Return the choice with this candidate in place of the one with its encoding."""
        others = (candidate if c.encoding == candidate.encoding else c for c in self.candidates)
        return replace(self, candidates=tuple(others))

    def summary(self) -> dict[str, Any]:
        """Return the content of choice.json."""
        front = {candidate.encoding for candidate in self.front}
        best = self.best
        rows = [
            {name: value for name, value in _figures(c).items() if value not in (float("inf"), "")}
            | {"front": c.encoding in front, "over": [] if c.reason else self.over(c)}
            for c in self.candidates
        ]
        return {
            "board": self.board,
            "time_unit": self.unit,
            "limits": self.limits,
            "encoding": best.encoding if best else None,
            "candidates": rows,
        }

    def table(self) -> list[list[str]]:
        """Return one row per candidate, the fastest first."""
        front = {candidate.encoding for candidate in self.front}
        best = self.best
        head = ["encoding", self.unit, "flash", "RAM", "error", "front", ""]
        rows = [
            [
                c.encoding,
                f"{c.time:,.6g}",
                f"{c.flash:,}",
                f"{c.ram:,}",
                f"{c.error:.2g}",
                "*" if c.encoding in front else "",
                "chosen" if c is best else self._why_not(c),
            ]
            for c in sorted(self.measured, key=lambda candidate: candidate.axes)
        ]
        failed = [[c.encoding, *["-"] * 4, "", c.reason] for c in self.candidates if c.reason]
        return [head, *rows, *failed]

    def _why_not(self, candidate: Candidate) -> str:
        over = self.over(candidate)
        return f"over {', '.join(over)}" if over else ""

    def _excess(self, candidate: Candidate) -> float:
        shares = [candidate.figure(n) / limit for n, limit in self.limits.items() if limit > 0]
        return max(shares, default=0.0)


def _figures(candidate: Candidate) -> dict[str, Any]:
    return {name: value for name, value in asdict(candidate).items() if name != "needs_ranges"}


def nothing_fits(choice: Choice) -> str:
    """Explain in one line which limits no candidate meets, and which candidate comes nearest."""
    wanted = " ".join(f"--{name} {limit:g}" for name, limit in choice.limits.items())
    nearest = choice.nearest
    if nearest is None:
        # What is wrong with the policy is said once, and not of each encoding.
        encodings: dict[str, list[str]] = {}
        for candidate in choice.candidates:
            reason = candidate.reason.replace(f"encoding {candidate.encoding!r}", "it")
            encodings.setdefault(reason, []).append(candidate.encoding)
        reasons = [f"{', '.join(names)}: {reason}" for reason, names in encodings.items()]
        return f"no encoding runs on {choice.board} ({'; '.join(reasons)}); use another board"
    blind = ""
    if any(candidate.needs_ranges for candidate in choice.candidates):
        blind = " or give --calibration FILE or --range LOW,HIGH, which rounded weights need"
    parts = " and ".join(_WORDS[n].format(nearest.figure(n)) for n in choice.over(nearest))
    return (
        f"no encoding stays within {wanted} on {choice.board}; "
        f"the closest, {nearest.encoding}, takes "
        f"{parts}; allow that{', ' if blind else ' or '}keep fewer weights{blind}"
    )
