"""Preflight of a golden image: survey the host before the plan, report all mistakes at once."""
