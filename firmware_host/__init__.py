"""The C firmware, its boards, and what builds, emulates and benchmarks it from the host."""
