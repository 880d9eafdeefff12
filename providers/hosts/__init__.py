"""Reaching a host: where it is, and one gateway that runs argv on it."""
