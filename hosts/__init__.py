"""Reaching a host: where it is, how we get there, and running things on it."""
