"""The lab host's side of a tunnel: a key, and a unit that keeps the connection."""
