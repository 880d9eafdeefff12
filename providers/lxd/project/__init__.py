"""An LXD project: in it a student's instances keep their short names."""
