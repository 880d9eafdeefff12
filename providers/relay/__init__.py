"""The relay's side of a tunnel: who may listen there, and on which ports."""
