"""Every fault against every guard, and the soak: what tests and benchmarks run."""
