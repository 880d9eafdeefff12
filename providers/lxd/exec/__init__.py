"""A program run in a container, as a person would type it there."""
