"""Trials that are too long for the suite, against whole stacks in a sandbox."""
