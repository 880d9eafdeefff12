"""Measure Grappe, an expert's script and Ansible in one run on one sandbox."""
