"""Looks at a host, read only, one module a question."""
