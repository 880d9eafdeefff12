"""A system container: one server."""
