"""Preflight of a lab host: survey a bare server, read only, before any change."""
