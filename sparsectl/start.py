"""The program `sparsectl`. It imports little, so that Ctrl-C finds it prepared from the first moment."""

from sparsectl.common.interruption import ended_at_once


def main() -> None:
    """Import the command line and run it."""
    with ended_at_once("sparsectl"):
        from sparsectl.cli import main as run
    run()
