"""The hardware-in-the-loop host: link, clock, loop, safety, journal, report."""
