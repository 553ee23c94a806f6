"""The command line of sparsectl."""

from __future__ import annotations


def main() -> None:
    """Run one subcommand."""
