"""Names and numbers that several packages share."""

from __future__ import annotations

# YunoHost's own sign that a server is post-installed.
INSTALLED = "/etc/yunohost/installed"
# The file with a YunoHost\'s main domain.
MAIN_DOMAIN = "/etc/yunohost/current_host"
# The students' numbers on a lab host.
MIN_NUMBER, MAX_NUMBER = 1, 4000
