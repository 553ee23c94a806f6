"""Timing: the two clocks, percentiles, latency, scheduling and pacing."""
