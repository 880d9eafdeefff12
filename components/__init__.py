"""Components: the resources of a lab, and their dependencies."""
