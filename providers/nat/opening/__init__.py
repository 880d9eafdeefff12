"""The bridge allow: it lets a bridge through UFW while no NAT rule of a server does."""
