"""A trial from HELLO to the stop, and the protection of its folder and journal."""
