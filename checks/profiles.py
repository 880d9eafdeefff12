"""What LXD's profiles bring to a lab's servers; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from remote.surveys.facts import Lxd

# A server's own network device.
NIC = "eth0"


def obstacles(lxd: Lxd, names: Sequence[str], own: str) -> Iterator[tuple[str, str]]:
    """Yield profiles that bring a device that a server may not have, each with the reason.

    Args:
        lxd: The survey of the daemon.
        names: The profiles, in order.
        own: The name of a server's own network device, which overrides a profile's of that name.
    """
    brings = lxd.get("brings", {})
    for name in names:
        for device, settings in sorted(brings.get(name, {}).items()):
            if settings.get("type") == "proxy" and settings.get("bind", "host") == "host":
                listen = settings.get("listen", "?")
                yield name, f"its device {device} listens at {listen}, which one server alone can"
            source = settings.get("source", "")
            needed = settings.get("required", "true") != "false"
            if needed and "pool" not in settings and source in lxd.get("gone", ()):
                yield name, f"the host has no {source}, which its device {device} brings"
            if settings.get("type") != "nic" or device == own:
                continue
            network = settings.get("network") or settings.get("parent") or "?"
            called = settings.get("name", device)
            why = (
                f"is called {own} inside, as the server's own" if called == own else
                "is a second way out of the server, past the isolation of students"
            )  # fmt: skip
            yield name, f"its device {device} (network {network}) {why}"
    rooted = any(
        settings.get("type") == "disk" and settings.get("path") == "/"
        for name in names
        for settings in brings.get(name, {}).values()
    )
    if brings and not rooted and set(names) <= brings.keys():
        yield names[-1] if names else "", "none of them has a root disk"


def shared(lxd: Lxd, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (profile, fault) for settings that let every student harm the host or the others.

    Args:
        lxd: The survey of the daemon.
        names: The profiles of labs.
    """
    for name in names:
        config = lxd.get("sets", {}).get(name, {})
        if config.get("security.privileged", "").lower() in ("true", "1", "yes", "on"):
            yield name, "makes servers privileged: root in one is root on the host"
        if config.get("raw.lxc"):
            yield name, f"sets raw.lxc, which nobody checks: {' '.join(config['raw.lxc'].split())}"
        for device, settings in sorted(lxd.get("brings", {}).get(name, {}).items()):
            source = settings.get("source", "")
            writes = settings.get("readonly", "false").lower() != "true"
            if settings.get("type") == "disk" and settings.get("path") != "/" and source and writes:
                yield name, f"gives all servers {source} to write to, by its device {device}"
