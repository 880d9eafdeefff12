"""The relay's side of a tunnel: the grant to listen on ports there."""
