"""Everything on the hosts of a sandbox that destroying the last student must leave as it was."""

from __future__ import annotations

import pathlib

from hosts.host import Host
from providers.lxd import client


def inventory(lab_host: Host, workstation: Host) -> dict[str, str]:
    """Return everything on the host that destroying the last student must leave as it was."""
    program = client.on(lab_host).program
    lxc = program + " {} list --format csv"
    files = ("/etc/ufw/before.rules /etc/ufw/before.init /etc/ufw/user.rules "
             "/etc/haproxy/haproxy.cfg /etc/hosts")  # fmt: skip
    scripts = {
        "files": f"sha256sum {files}; stat -c '%n %a %U:%G' {files}",
        "iptables": "iptables-save | sed 's/\\[[0-9:]*\\]//; /^#/d'",
        "nft": "nft list ruleset 2>/dev/null | sed -E 's/packets [0-9]+ bytes [0-9]+//'",
        "projects": lxc.format("project"), "networks": lxc.format("network"),
        "instances": f"{program} list --all-projects --format csv", "images": lxc.format("image"),
        "profiles": lxc.format("profile"),
        # Without the count of users: LXD keeps an unpacked copy of an image once used.
        "pools": f"{lxc.format('storage')} | cut -d, -f1-3",
        # Without current logins, such as our own.
        "units": "systemctl list-unit-files --no-legend | grep -v ^session-; "
        "systemctl is-active haproxy ufw",
        "ports": "ss -Hltun | awk '{print $1, $5}' | sort",
        "processes": "ps -eo comm --no-headers | grep -c dnsmasq; true",
        "left": "ls -d /var/lib/grappe* /etc/systemd/system/grappe* 2>&1; true",
    }  # fmt: skip
    inventory = {
        name: lab_host.run(["sh", "-c", script], check=False).stdout
        for name, script in scripts.items()
    }
    hosts = pathlib.Path(workstation.etc_hosts)
    inventory["workstation"] = f"{hosts.read_text()}{hosts.stat().st_mode:o}"
    return inventory


def difference(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the parts of an inventory that differ, each with the beginning of its new value."""
    return [f"{name}: {after[name][:200]!r}" for name in before if before[name] != after[name]]
