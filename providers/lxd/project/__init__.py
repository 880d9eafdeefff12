"""An LXD project: the room in which a student's instances keep their short names."""
