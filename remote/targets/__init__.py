"""Shared files, one module a kind: how it compiles all fragments, and loads the result."""
