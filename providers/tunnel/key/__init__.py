"""The key that a tunnel logs in to the relay with; its private part never leaves the lab host."""
