"""The live page: what a trial shows in a browser, from a process of its own."""
