"""Hosts entries: the workstation finds the students' domains."""
