"""The choice of an encoding by measuring: candidates, limits, and what they do to the return."""
