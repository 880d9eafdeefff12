"""A bridge of LXD's: a student's own network."""
