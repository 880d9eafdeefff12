"""A lab host out of a bare server: each step a command of its own, and the scripts they run."""
