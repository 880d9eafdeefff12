"""Probes: they test servers from the workstation, as a student would."""
