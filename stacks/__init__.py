"""Stack files, and the typed specs that they mean."""
