"""An LXD bridge: a student's own network."""
