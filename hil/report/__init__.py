"""The HTML report: its run folder, verdict, plots and templates."""
