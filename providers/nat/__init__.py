"""NAT rules in UFW's before.rules: they forward a port of the lab host to a server's."""
