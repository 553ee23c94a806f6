"""A trial from greeting to stop, and what guards its folder and journal."""
