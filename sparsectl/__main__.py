"""`python -m sparsectl`."""

from sparsectl.cli import main

main()
