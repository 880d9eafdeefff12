"""A storage volume: what outlives the container it is attached to."""
