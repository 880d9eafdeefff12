"""The packages that a sandbox needs on this machine, and their installation."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from hosts import command

# By program, the package that provides it.
NEEDED = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "mkfs.btrfs": "btrfs-progs",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "socat": "socat",
    "losetup": "mount",
    "apt-ftparchive": "apt-utils",
    "nsenter": "util-linux",
    "curl": "curl",
    "openssl": "openssl",
    "gpgv": "gpgv",
}


# The browser of the tests.
BROWSER = {"chromium": "chromium"}


def missing(needed: Mapping[str, str]) -> list[str]:
    """Return the packages whose program is missing."""
    return sorted({package for program, package in needed.items() if not shutil.which(program)})


def install(*, browser: bool = False) -> list[str]:
    """Install missing packages with apt; return them.

    Raises:
        errors.CommandError: apt failed.
    """
    packages = missing({**NEEDED, **(BROWSER if browser else {})})
    if not packages:
        return []
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (
        ["apt-get", "-q", "update"],
        ["apt-get", "-q", "install", "-y", "--no-install-recommends", *packages],
    ):
        failed, do = f"`{' '.join(argv)}` failed", "install these packages by hand"
        command.execute(argv, timeout=900, env=env).demand(failed, do)
    return packages
