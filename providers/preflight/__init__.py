"""Preflight: the whole lab against the host, read only, before anything is planned."""
