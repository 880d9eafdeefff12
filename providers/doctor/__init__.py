"""Looking a lab host over: what is wrong with it, and what mends it."""
