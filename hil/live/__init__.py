"""The live page: shows a trial in a browser, from a separate process."""
