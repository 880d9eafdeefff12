"""The relay's side of a tunnel: a door, the grant to listen on ports there."""
