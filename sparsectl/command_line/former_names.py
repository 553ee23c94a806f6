"""Accept the former names of settings for one release, with a warning.

A nested setting is named by its path: `finetune.steps` is `--finetune.steps` on the command line
and `finetune=FinetuneOptions(steps=…)` in Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn

FINETUNE = (
    *("steps", "rounds", "prune_rounds", "score", "encoding", "learning_rate"),
    *("newton_below", "newton_steps", "newton_rows"),
)
DAGGER = ("rounds", "transitions", "tries", "hard_share", "steps")

FORMER: Mapping[str, Mapping[str, str]] = {
    "distill": {
        "flash": "table_bytes",
        "flash_encoding": "table_encoding",
        **{f"finetune_{name}": f"finetune.{name}" for name in FINETUNE},
        **{f"dagger_{name}": f"dagger.{name}" for name in DAGGER},
        "dagger_anywhere": "dagger.uniform_starts",
        "evidence_episodes": "evidence.episodes",
        "evidence_limit": "evidence.limit",
    }
}
"""For each command: former names of settings and the present ones."""

FORMER_RESULTS: Mapping[str, frozenset[str]] = {"distill": frozenset({"coverage"})}
"""For each command: former keys of results, which --json still contains for one release."""


def in_words(command: str, words: Sequence[str]) -> list[str]:
    """Replace former options in the words of a command line by the present ones.

    Raises:
        UserError: an option is given under both names.
    """
    present = {_option(old): _option(new) for old, new in FORMER.get(command, {}).items()}
    given = [word.partition("=")[0].replace("_", "-") for word in words]
    result = []
    for word, option in zip(words, given, strict=True):
        if option not in present:
            result.append(word)
            continue
        _warn(option, present[option], present[option] in given)
        result.append(present[option] + word[len(option) :])
    return result


def in_settings(command: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Replace former names in keyword arguments by the present names or paths.

    Raises:
        UserError: a setting is given under both names.
    """
    names = FORMER.get(command, {})
    result = {name: value for name, value in settings.items() if name not in names}
    for former, present in names.items():
        if former in settings:
            outer, _, inner = present.partition(".")
            held = settings.get(outer)
            both = held is not None and (not inner or getattr(held, inner) is not None)
            _warn(former, present, both)
            result[present] = settings[former]
    return result


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _warn(former: str, present: str, both: bool) -> None:
    if both:
        raise UserError(f"{former} is the former name of {present}; give {present} alone")
    warn(f"{former} is now called {present}; the former name will be removed in the next release")
