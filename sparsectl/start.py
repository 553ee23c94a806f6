"""The program `sparsectl`; it imports little before it is prepared for Ctrl-C."""

from sparsectl.common.interruption import ended_at_once


def main() -> None:
    """Import the command line and run it."""
    with ended_at_once("sparsectl"):
        from sparsectl.cli import main as run
    run()
