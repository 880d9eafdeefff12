"""HAProxy backends: a domain leads to a server, by SNI on 443 and by Host on 80."""
