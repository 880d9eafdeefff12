"""Settings of LXC's own that LXD passes on (`raw.lxc`); pure."""

from __future__ import annotations

# The first words of LXC's own keys, of liblxc 4 and 5 (lxc.container.conf).
_LXC = (
    "apparmor", "arch", "autodev", "cap", "cgroup", "cgroup2", "console", "environment", "execute",
    "group", "hook", "hooks", "include", "init", "keyring", "monitor", "mount",
    "namespace", "net", "no_new_privs", "proc", "pty", "sched", "seccomp", "selinux",
    "signal", "start", "sysctl", "time", "tty", "uts",
)  # fmt: skip


def problem(text: str) -> str:
    """Return what is wrong with a text for `raw.lxc`; or nothing.

    It checks what LXD's `lxcValidConfig` checks, and the keys, which LXC checks only at a start.
    """
    lines = [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]
    return next(filter(None, map(_problem_of_line, lines)), "")


def _problem_of_line(line: str) -> str:
    key, equals, _value = line.partition("=")
    key = key.strip().lower()
    words = key.split(".")
    if not equals:
        return f'has a line without a "=": {line}.'
    if key.startswith("lxc.prlimit."):
        return f"has {key}: set limits.kernel.{words[-1]} instead."
    if key.startswith(("lxc.log", "lxc.syslog", "lxc.ephemeral", "lxc.rootfs", "lxc.idmap")):
        return f"has {key}, which LXD sets itself."
    if words[:2] == ["lxc", "net"] and words[3:4] not in (["ipv4"], ["ipv6"]):
        return f"has {key}: the server's network is a device of LXD's."
    if words[0] != "lxc" or len(words) == 1 or words[1] not in _LXC:
        return f"has {key}, which is not a setting of LXC's: they begin with lxc."
    return ""
