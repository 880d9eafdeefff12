"""An opening: it lets a bridge through UFW when no server's NAT rule does yet."""
