"""An image published from a generalised copy of a container."""
