"""The journal: its records, the recorder, and its ticks as a trace."""
