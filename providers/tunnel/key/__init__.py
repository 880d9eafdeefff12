"""A tunnel's key for the relay; its private part never leaves the lab host."""
