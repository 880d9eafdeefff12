"""All that runs on a host: standard library alone, Python 3.8 on; sent once a connection."""
