"""Shared files, one module a kind: what is compiled from all fragments, and how it is loaded."""
