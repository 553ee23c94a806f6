"""The subcommands: `sparsectl NAME` runs the function NAME of NAME.py."""
