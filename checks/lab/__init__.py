"""The preflight of a lab."""
