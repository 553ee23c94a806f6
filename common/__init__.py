"""What every package may import: the users' error, atomic files, provenance, progress, ranges."""
