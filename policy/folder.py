"""The contents of an exported policy's folder. policy.h and policy.json are both written from
`PolicyFacts`, policy_vectors.h and policy.json from `GoldenVectors`; readers take policy.json, so
nothing has to parse C."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json
from sparsectl.policy.activations import Float32
from sparsectl.policy.choices import Choices, choices_of
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.signals import parse_signals
from sparsectl.policy.tasks import heads_of

POLICY_JSON: Final = "policy.json"
GOLDEN_VECTORS: Final = "golden_vectors"
CHOSEN: Final = "chosen_actions"
"""The key of `GoldenVectors` in policy.json."""
FORM: Final = "float32, little-endian, row by row, in base64"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MEND = "export the policy again"


@dataclass(frozen=True)
class PolicyFacts:
    """The facts about a policy that a firmware needs."""

    observation_size: int
    action_size: int
    signals: int
    """Number of values per frame."""
    frames: int
    period_us: int
    """Control period that the policy was trained with; 0: not known."""
    kept_weights: int
    digest: str
    """SHA-256 of the policy's canonical bytes, 64 hex digits."""
    encoding: str | None
    """Name of the encoding; None: the folder does not state it."""
    choices: Choices | None = None
    """The choices that its action is the index of; None: its actions are continuous, or there are
    several choices."""
    tasks: int = 0
    """Number of tasks, each with a head of choices; 0: the policy has one task."""
    state_size: int = 0
    """Number of values that are passed from tick to tick; 0: it keeps no state."""
    chosen_actions: tuple[int, ...] = ()
    """Which of its actions are indices of choices or switches, if the folder says so."""

    @property
    def chosen(self) -> list[int]:
        """Return the places of the actions of which a difference says nothing."""
        if self.choices is not None or self.tasks > 0:
            return [*range(self.action_size)]
        return [*self.chosen_actions]

    @classmethod
    def of(cls, graph: PolicyGraph, encoding: str) -> PolicyFacts:
        """Return the facts about a graph in the encoding of this name."""
        return cls(
            observation_size=graph.observation_size,
            action_size=graph.action_size,
            signals=len(graph.observation),
            frames=graph.frames,
            period_us=round(graph.period_s * 1e6),
            kept_weights=graph.kept_weights,
            digest=graph.digest,
            encoding=encoding,
            choices=choices_of(graph.signals()),
            state_size=graph.state_size,
            tasks=len(heads_of(graph.signals())),
        )

    @classmethod
    def from_json(cls, said: dict[str, Any], path: Path) -> PolicyFacts:
        """Read the facts from the policy.json at `path`, whose content is `said`.

        Raises:
            UserError: a fact is missing, has the wrong type or is out of range.
        """
        signals = _entry(said, "signals", dict, path)
        observation = len(_entry(signals, "observation", list, path))
        action = len(_entry(signals, "action", list, path))
        frames = _count(signals, "frames", path, least=1)
        period_s = _entry(signals, "period_s", (int, float), path)
        digest = _entry(said, "digest", str, path)
        encoding = _entry(_entry(said, "encoding", dict, path), "name", str, path)
        if not observation or not action or not 0 <= period_s < 1e6:
            raise UserError(
                f"{path}: {observation} signals, {action} actions and a period of {period_s} s are "
                f"no policy's; {_MEND}"
            )
        if not _DIGEST.fullmatch(digest):
            raise UserError(f"{path}: digest is {digest[:80]!r}, not 64 hex digits; {_MEND}")
        parse_signals(signals, f"{path}: signals")
        return cls(
            observation_size=observation * frames,
            action_size=action,
            signals=observation,
            frames=frames,
            period_us=round(period_s * 1e6),
            kept_weights=_count(said, "kept_weights", path, least=0),
            digest=digest,
            encoding=encoding,
            choices=choices_of(signals),
            state_size=_state_size(said, path),
            chosen_actions=_places(said, path, action),
            tasks=len(heads_of(signals)),
        )


def _places(said: dict[str, Any], path: Path, actions: int) -> tuple[int, ...]:
    places = said.get(CHOSEN, [])
    whole = isinstance(places, list) and all(type(place) is int for place in places)
    if not whole or not all(0 <= place < actions for place in places):
        raise UserError(f"{path}: {CHOSEN} is {str(places)[:80]}, not places of actions; {_MEND}")
    return tuple(places)


@dataclass(frozen=True)
class GoldenVectors:
    """Observations [count, observation_size] and the actions [count, action_size] that every core
    must give for them, bit for bit."""

    observations: Float32
    actions: Float32
    sequence_length: int | None = None
    """For a policy that keeps a state: the state is reset before each vector whose index is a
    multiple of this. None: it keeps none."""

    @property
    def resets(self) -> NDArray[np.bool_]:
        """[count]: whether the state is reset before the vector."""
        return np.equal(np.arange(len(self.observations)) % (self.sequence_length or 1), 0)

    def to_json(self) -> dict[str, Any]:
        """Return JSON that keeps every bit, in a third more bytes."""
        length = self.sequence_length
        return {
            "count": len(self.observations),
            **({} if length is None else {"sequence_length": length}),
            "form": FORM,
            "observations": _base64(self.observations),
            "actions": _base64(self.actions),
        }

    @classmethod
    def from_json(cls, said: dict[str, Any], facts: PolicyFacts, path: Path) -> GoldenVectors:
        """Read the vectors from the policy.json at `path`, whose content is `said`.

        Raises:
            UserError: the vectors are missing or do not have the sizes in `facts`.
        """
        held = _entry(said, GOLDEN_VECTORS, dict, path)
        count = _count(held, "count", path, least=1)
        return cls(
            _rows(held, "observations", (count, facts.observation_size), path),
            _rows(held, "actions", (count, facts.action_size), path),
            _count(held, "sequence_length", path, least=1) if facts.state_size else None,
        )


def read_policy_json(folder: Path) -> dict[str, Any] | None:
    """Read policy.json in `folder`; None if there is none.

    Raises:
        UserError: the file is not a JSON object.
    """
    path = folder / POLICY_JSON
    if not path.is_file():
        return None
    said = read_json(path)
    if not isinstance(said, dict):
        raise UserError(f"{path} is not a JSON object; {_MEND}")
    return said


def names_hash(said: dict[str, Any], name: str) -> bool:
    """Return whether policy.json, whose contents are `said`, has a hash of the file `name`; one
    from an earlier release may not."""
    files = said.get("files")
    return isinstance(files, dict) and name in files


def check_unchanged(folder: Path, name: str, said: dict[str, Any]) -> None:
    """Check that the file `name` in `folder` is the one that policy.json, read as `said`, was
    written with, so that policy.json describes what is compiled.

    Raises:
        UserError: the file has changed since, or policy.json does not contain its hash.
    """
    named = _entry(said, "files", dict, folder / POLICY_JSON).get(name)
    found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    if found != named:
        raise UserError(
            f"{folder / name} has SHA-256 {found[:12]}, {POLICY_JSON} beside it names "
            f"{str(named)[:12]}: it was changed after it was exported; {_MEND}"
        )


def _entry(said: dict[str, Any], name: str, kind: Any, path: Path) -> Any:
    value = said.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(f"{path}: {name} is {str(value)[:60]!r}; {_MEND}")
    return value


def _state_size(said: dict[str, Any], path: Path) -> int:
    """Return the size of the state that policy.json, read as `said`, describes; 0 if there is
    none."""
    if "state" not in said:
        return 0
    state = _entry(said, "state", dict, path)
    size, reset = _count(state, "size", path, least=1), _entry(state, "reset", list, path)
    if len(reset) != size or not all(_is_finite_number(value) for value in reset):
        raise UserError(
            f"{path}: a state of {size} values, and {len(reset)} to reset it to; {_MEND}"
        )
    return size


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _count(said: dict[str, Any], name: str, path: Path, least: int) -> int:
    value = int(_entry(said, name, int, path))
    if value < least:
        raise UserError(f"{path}: {name} is {value}; {_MEND}")
    return value


def _base64(rows: Float32) -> str:
    return base64.b64encode(rows.astype("<f4").tobytes()).decode("ascii")


def _rows(held: dict[str, Any], name: str, shape: tuple[int, int], path: Path) -> Float32:
    try:
        content = base64.b64decode(_entry(held, name, str, path), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"{path}: {name} of {GOLDEN_VECTORS}: {error}; {_MEND}") from error
    if len(content) != 4 * shape[0] * shape[1]:
        raise UserError(
            f"{path}: {name} of {GOLDEN_VECTORS} have {len(content)} bytes, not {shape[0]} rows of "
            f"{shape[1]} floats; {_MEND}"
        )
    return np.frombuffer(content, "<f4").astype(np.float32).reshape(shape)
