"""Read-only surveys of a host, one module a question."""
