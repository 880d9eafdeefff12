"""Views of a lab for people: card, checks, topology, explanation; facts in, text out."""
