"""The HTML report: run folder, verdict, plots and templates."""
