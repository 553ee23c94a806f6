"""`python -m sparsectl`."""

from sparsectl.start import main

main()
