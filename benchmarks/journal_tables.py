"""The table of docs/journal.md, from the journal's own enum."""

from __future__ import annotations

from enum_docs import member_docs

from sparsectl.hil.journal.journal import Kind


def journal_kinds() -> list[str]:
    """A row a kind of record."""
    docs = member_docs(Kind)
    lines = ["| kind | name | payload |", "| --- | --- | --- |"]
    return lines + [f"| {kind.value} | {kind.name} | {docs[kind.name]} |" for kind in Kind]
