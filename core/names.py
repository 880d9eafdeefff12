"""Names, numbers and folders that several packages share."""

from __future__ import annotations

import os
import pathlib
import re

from remote import names as shared

# YunoHost's mark of a post-installed server; it creates the file before it has finished.
INSTALLED = "/etc/yunohost/installed"
# The file with a YunoHost's main domain.
MAIN_DOMAIN = "/etc/yunohost/current_host"
# The students' numbers on a lab host.
MIN_NUMBER, MAX_NUMBER = 1, 4000
STUDENTS = shared.STUDENTS
# Where people log in to a server.
SSH_PORT = 22
# Where the pages of all labs come in.
WEB_PORTS = (80, 443)
# Marks of a container: the image it started from, and its stage; `anew` orders its recreation.
IMAGE, STAGE = "user.grappe.image", "user.grappe.stage"
CREATING, READY, RECREATE = "creating", "ready", "anew"
# The property of an image with the hash of its recipe.
RECIPE_PROPERTY = "grappe.recipe"


def in_program(text: str, program: str) -> str:
    """Return a text whose `lxc` commands are those of a host's own program, as `incus`."""
    return re.sub(r"(?<![\w./-])lxc (?=[a-z])", f"{program} ", text)


def cache() -> pathlib.Path:
    """Return Grappe's cache folder, outside the tree."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(root) / "grappe"
