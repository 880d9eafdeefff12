"""Names and numbers that several packages share."""

from __future__ import annotations

import ipaddress

# YunoHost's own sign that a server is post-installed.
INSTALLED = "/etc/yunohost/installed"
# The file with a YunoHost's main domain.
MAIN_DOMAIN = "/etc/yunohost/current_host"
# The students' numbers on a lab host.
MIN_NUMBER, MAX_NUMBER = 1, 4000
# The network of all students' bridges.
STUDENTS = ipaddress.IPv4Network("10.64.0.0/12")
# Where the pages of all labs come in.
WEB_PORTS = (80, 443)
