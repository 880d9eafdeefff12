"""Preflight: compare the whole lab with the host, read only, before the plan."""
