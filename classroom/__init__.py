"""A class: its roster, its file, and the runs of all its students' stacks."""
