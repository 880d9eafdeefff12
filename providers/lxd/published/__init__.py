"""An image published from a container: a copy, generalised."""
