"""A snapshot of a container: a state to go back to."""
