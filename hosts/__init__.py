"""Hosts: their URLs, the connections to them, and running programs on them."""
