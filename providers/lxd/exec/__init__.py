"""A program run in a container: a step of what a person would type there."""
