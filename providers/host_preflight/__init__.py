"""Preflight of a lab host: a bare server looked at, read only, before anything is done to it."""
