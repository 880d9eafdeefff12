"""Shared by every package: errors, mistakes, values, names."""
