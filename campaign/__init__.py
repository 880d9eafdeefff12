"""Trials too long for the suite, on whole stacks in a sandbox."""
