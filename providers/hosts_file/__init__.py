"""Hosts entries: the workstation resolves the students' domains."""
