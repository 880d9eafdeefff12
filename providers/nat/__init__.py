"""NAT rules in UFW's before.rules: a port of the lab host leads to a server's."""
