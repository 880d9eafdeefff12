"""Read the state of a server's post-installation and of its YunoHost."""

from __future__ import annotations

import json

from core.names import INSTALLED, MAIN_DOMAIN
from providers.lxd import daemon, files, script_run
from providers.lxd.postinstall import model, services


def mark(lxd: daemon.Daemon, project: str, container: str) -> bytes | None:
    """Return the content of our mark in a server; None without one."""
    return files.read(lxd, project, container, model.MARK)


def stage_of(lxd: daemon.Daemon, project: str, container: str, marked: bytes | None) -> model.Stage:
    """Return the stage of a server's post-installation, by our mark or YunoHost's own record."""
    records = []
    for folder in model.RECORDS:
        if listing := files.read(lxd, project, container, folder):
            paths = [f"{folder}/{name}" for name in json.loads(listing)["metadata"]
                     if model.is_record(str(name))]  # fmt: skip
            records = [(files.read(lxd, project, container, path) or b"").decode(errors="replace")
                       for path in paths]  # fmt: skip
            break
    return model.stage(
        records,
        installed=is_installed(lxd, project, container),
        marked=marked is not None,
    )


def is_installed(lxd: daemon.Daemon, project: str, container: str) -> bool:
    """Return whether anybody has post-installed a server."""
    return files.read(lxd, project, container, INSTALLED) is not None


def banned(lxd: daemon.Daemon, project: str, container: str) -> list[str]:
    """Return the addresses that a server's fail2ban bans now; needs its version 0.11 or later."""
    argv = ["fail2ban-client", "banned"]
    return model.addresses(script_run.output(lxd, project, container, argv, model.HELP_SECONDS))


def inspect(
    lxd: daemon.Daemon, project: str, container: str, user: str
) -> tuple[list[str], frozenset[str]]:
    """Return the faults inside a post-installed YunoHost, and `services.LOGIN` lines about a user.

    One program answers all: each takes LXD a twentieth of a second, and a class has sixty servers.
    """
    lines = _inspected(lxd, project, container, services.inspection(user=user))
    return [line for line in lines if line not in services.LOGIN], services.LOGIN.intersection(
        lines
    )


def faults(lxd: daemon.Daemon, project: str, container: str, *, start: bool = False) -> list[str]:
    """Return the faults inside a post-installed YunoHost; see `services.inspection`."""
    return _inspected(lxd, project, container, services.inspection(start=start))


def _inspected(lxd: daemon.Daemon, project: str, container: str, argv: list[str]) -> list[str]:
    return script_run.output(lxd, project, container, argv, model.CHANGE_SECONDS).splitlines()


def has_user(lxd: daemon.Daemon, project: str, container: str, login: str) -> bool:
    """Return whether a server knows a user; start its directory if that is stopped."""
    return script_run.run(lxd, project, container, model.has_user(login)).status == 0


def is_taken(lxd: daemon.Daemon, project: str, container: str, login: str) -> bool:
    """Return whether somebody else post-installed a server: it has neither our mark nor our login.

    In versions that make no user, the login is `admin`.
    """
    if not is_installed(lxd, project, container):
        return False
    if mark(lxd, project, container) is not None:
        return False
    return not any(has_user(lxd, project, container, each) for each in (login, model.ADMIN))


def domain_of(lxd: daemon.Daemon, project: str, container: str) -> str:
    """Return the main domain of a YunoHost; nothing without one."""
    return (files.read(lxd, project, container, MAIN_DOMAIN) or b"").decode().strip()
