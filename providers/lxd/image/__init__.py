"""An image, from files."""
