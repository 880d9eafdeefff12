"""A look at the host before a golden image is planned: all mistakes at once, nothing changed."""
