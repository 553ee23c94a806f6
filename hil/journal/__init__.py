"""The journal and what is read from it: records, the recorder, ticks as a trace."""
