"""Stack files, and the typed spec that each is read into."""
