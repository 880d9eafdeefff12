"""The options that LXD takes, and their values; pure."""
