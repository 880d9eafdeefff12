"""Turn a bare server into a lab host: one command a step, and their scripts."""
