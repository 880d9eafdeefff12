"""Probes: what a student would see from the workstation."""
