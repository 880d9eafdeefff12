"""A storage volume; it outlives the container that it is attached to."""
