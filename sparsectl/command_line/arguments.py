"""Parse the words of the command line into a subcommand's settings; report a mistake in one
line."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any

import tyro

from sparsectl.common.errors import UserError

HELP = ("--help", "-h")
WIDE = "10000"
"""A width at which tyro's boxes break no line, so that they can be read line by line."""
MARKERS = (tyro.conf.OmitSubcommandPrefixes,)


def parsed(kind: Any, program: str, description: str | None, words: Sequence[str]) -> Any:
    """Parse the words into settings of type `kind`.

    Raises:
        UserError: a word is unknown, has a wrong value, or one is missing.
        SystemExit: help was asked for, and printed.
    """
    if any(word in HELP for word in words):
        return _tyro(kind, program, description, words)
    _check_empty(words, program)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), _columns(WIDE):
            return _tyro(kind, program, description, words)
    except SystemExit as ended:
        if not ended.code:
            raise
        said = _lone_word(printed.getvalue(), words, kind)
        said = f"{said}; see `{program} --help`" if said else ""
        raise UserError(said or one_line(printed.getvalue(), words, program)) from None


def _check_empty(words: Sequence[str], program: str) -> None:
    """Refuse empty words: they come from a script's unset variable, and Path("") would be the
    current folder.

    Raises:
        UserError: a word is empty.
    """
    for before, word in zip(["", *words], words, strict=False):
        option = re.fullmatch(r"(--[\w.-]+)=", word)
        if word and not option:
            continue
        name = option.group(1) if option else before
        what = f"{name} is given" if name.startswith("--") else "one of the words is"
        raise UserError(f"{what} '', which is empty; write a value; see `{program} --help`")


def _tyro(kind: Any, program: str, description: str | None, words: Sequence[str]) -> Any:
    return tyro.cli(kind, prog=program, description=description, args=words, config=MARKERS)


@contextlib.contextmanager
def _columns(width: str) -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = width
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def one_line(box: str, words: Sequence[str], program: str) -> str:
    """Return the message in tyro's box as one line.

    Args:
        box: the box that tyro printed: a title, and paragraphs between rules.
        words: the command line that the box is about.
        program: the command whose `--help` explains more.
    """
    # Where the terminal has no UTF-8, the box is drawn by + - and |.
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip(" │╭╮╰╯─+|") for line in box.splitlines()]
    lines = [line for line in lines if line.strip("-")]
    text = [line for line in lines[1:] if line]
    more = f"see `{program} --help`"
    said = text[0] if text else "these words are not understood"
    if wrong := re.match(r"Error parsing (--[\w.-]+)", said):
        option = wrong.group(1)
        kinds = (line.removeprefix(option).strip() for line in text if line.startswith(option))
        takes = next(kinds, "another value").replace("{None}|", "")
        return f"{option} takes {takes}, not {_value(option, words)}; {more}"
    if wrong := re.match(
        r"invalid choice '(.*)' for argument '(.+)'\. Expected one of (\(.*\))", said
    ):
        return (
            f"{wrong.group(2)} is {wrong.group(1)!r}; use one of {_listed(wrong.group(3))}; {more}"
        )
    if said.startswith("Missing from"):
        missing = [line for line in text if line.startswith("--") or line.isupper()]
        return f"it needs {', '.join(dict.fromkeys(missing))}; {more}"
    if "Perhaps you meant:" in text:
        guess = text[text.index("Perhaps you meant:") + 1].replace("{None}|", "")
        return f"{_lower(said)}; perhaps you meant {guess}; {more}"
    said = said.replace("Expected 1 values", "Expected a value")
    known = [line for line in text[1:2] if line.startswith("Available subcommands")]
    if (
        known
        and words
        and (near := get_close_matches(words[0], known[0].split(": ")[1].split(", ")))
    ):
        known = [f"perhaps you meant {near[0]}"]
    return "; ".join(_lower(part.rstrip(".")) for part in [said, *known, more])


def _lone_word(box: str, words: Sequence[str], kind: Any) -> str:
    """Return what is wrong with a word that lacks its option, as in `evaluate student.safetensors`;
    empty if there is none.

    A command's first setting is what it is about, and so what a first word is probably for.
    """
    unknown = re.search(r"Unrecognized options: (.*?)[ │|]*$", box, re.MULTILINE)
    if unknown is None or not is_dataclass(kind):
        return ""
    left, pairs = unknown.group(1).split(", "), list(zip(["", *words], words, strict=False))
    # The same word may also be the value of an option that is known, or of one that is not.
    values = {word for before, word in pairs if before in left}
    for before, word in pairs:
        if word in left and not word.startswith("-") and word not in values:
            guess = "" if before else f", perhaps --{fields(kind)[0].name} {word}"
            return f"{word} has no option before it; write one{guess}"
    return ""


def _listed(choices: str) -> str:
    """Return the choices of tyro's message in words.

    An option that may be left out has `None` among them, and tyro has put those into a set, whose
    order is another one in each process.
    """
    words = list(ast.literal_eval(choices))
    return ", ".join(sorted(set(words) - {"None"}) if "None" in words else words)


def _value(option: str, words: Sequence[str]) -> str:
    """Return the value that was given for the option, quoted."""
    given: list[str] = []
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == option:
            rest = [value] if equals else list(words[index + 1 :])
            end = next((i for i, word in enumerate(rest) if word.startswith("--")), len(rest))
            given = rest[:end]
    return repr(" ".join(given))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
