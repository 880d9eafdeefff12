"""The services of a post-installed YunoHost: their faults, and what mends each."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.names import MAIN_DOMAIN
from providers.lxd.container import network_faults

# The services of a post-installed YunoHost that a student uses. A disabled one counts where no page
# or login works without it; of the others some versions disable one themselves.
SERVICES = (
    "ssh", "nginx", "slapd", "nslcd", "yunohost-api", "yunohost-portal-api", "dnsmasq", "nftables",
    "fail2ban",
)  # fmt: skip
VITAL = ("ssh", "nginx", "slapd", "nslcd", "yunohost-api")
# Its ssh may be started by a socket.
UNITS = (*(f"{name}.service" for name in SERVICES), "ssh.socket")
# systemd's words for a service that runs or begins to, and for one that starts at a boot.
RUNNING = ("active", "activating", "reloading")
ENABLED = ("enabled", "enabled-runtime", "generated")
# The ports at which nginx finds the APIs. A unit may be active without its API: a child lives on.
APIS = {"yunohost-api": 6787, "yunohost-portal-api": 6788}
# The setting is applied where its value changes, and never to an sshd_config that a person edited.
SSH_PORT = (
    "yunohost settings set security.ssh.ssh_port -v 22; yunohost tools regen-conf ssh --force"
)
REGEN = "yunohost tools regen-conf nginx --force"
# Lines about the card's user: there is none; sshd's groups shut it out; sshd takes no password.
UNKNOWN, SHUT_OUT, NO_PASSWORDS = "no-such-user", "shut-out", "no-passwords"
LOGIN = frozenset({UNKNOWN, SHUT_OUT, NO_PASSWORDS})
# Prints a line for each service that should run and does not or is disabled, for each API that
# refuses connections (a busy one may time out), and the main domain if nginx has no page of it;
# optionally starts stopped services first.
_INSIDE = f"""\
answers() {{
    url=http://127.0.0.1:$1/
    curl -s -o /dev/null -m 10 --retry 3 --retry-connrefused --retry-max-time 9 $url || [ $? = 28 ]
}}
# One question for all: each costs a start of a program, in each of a class's servers.
states=$(systemctl show --property=Id,ActiveState,UnitFileState {" ".join(UNITS)} |
    awk -F= 'NF {{ of[$1] = $2; next }} {{ print of["Id"], of["ActiveState"], of["UnitFileState"] }}
             END {{ print of["Id"], of["ActiveState"], of["UnitFileState"] }}')
is() {{ echo "$states" | grep -Eq "^$1 $2\\$"; }}
for unit in {" ".join(SERVICES)}; do
    is $unit.service "(active|reloading) .*" && continue
    is $unit.socket "active .*" && continue
    case "$1  {" ".join(VITAL)} " in "look "*" $unit "*)
        is $unit.service ".* disabled" && echo "$unit is disabled"
        is $unit.service ".* masked" && echo "$unit is masked"
    esac
    is $unit.service ".* ({"|".join(ENABLED)})" || continue
    if [ "$1" = start ] && systemctl restart $unit 2>/dev/null; then continue; fi
    echo "$unit does not run"
    if [ "$1" = start ]; then journalctl -q -n 8 -o cat -u $unit; fi
done
for api in {" ".join(f"{unit}:{port}" for unit, port in APIS.items())}; do
    [ "$1" = start ] || is ${{api%:*}}.service "active .*" || continue
    [ "$1" = look ] || systemctl is-active --quiet ${{api%:*}} || continue
    answers ${{api#*:}} && continue
    if [ "$1" = start ] && systemctl restart ${{api%:*}} && answers ${{api#*:}}; then continue; fi
    echo "${{api%:*}} does not answer"
done
sshd=$(sshd -T 2>/dev/null)
ports=$(echo "$sshd" | sed -n 's/^port //p' | tr '\\n' ' ')
case " $ports" in " "|*" 22 "*) ;; *) echo "its sshd listens on ${{ports% }} ({SSH_PORT})";; esac
domain=$(cat {MAIN_DOMAIN} 2>/dev/null)
test -z "$domain" || test -e "/etc/nginx/conf.d/$domain.conf" ||
    echo "nginx has no page of $domain ({REGEN})"
if [ -n "$2" ] && ! getent passwd "$2" >/dev/null; then
    nscd --invalidate=passwd 2>/dev/null
    getent passwd "$2" >/dev/null || {{ echo {UNKNOWN}; exit 0; }}
fi
[ -n "$2" ] || exit 0
echo "$sshd" | grep -qx "passwordauthentication no" && echo {NO_PASSWORDS}
allowed=$(echo "$sshd" | sed -n 's/^allowgroups //p')
case "$allowed" in ""|*[*?!]*) exit 0;; esac
id -Gn "$2" | tr ' ' '\\n' | grep -qxF "$allowed" || echo {SHUT_OUT}
"""


def inspection(*, start: bool = False, user: str = "") -> list[str]:
    """Return the argv that prints the faults inside a post-installed YunoHost, a line each.

    Args:
        start: Whether it first starts stopped services.
        user: The card's user; the last lines are `UNKNOWN`, `SHUT_OUT` or `NO_PASSWORDS`.
    """
    return ["sh", "-c", _INSIDE, "sh", "start" if start else "look", user]


def survey() -> list[str]:
    """Return the argv that lists the states of the services and the ports that are listened at.

    It starts nothing and waits for nothing: every plan runs it.
    """
    shown = f"systemctl show --property=Id,ActiveState,UnitFileState {' '.join(UNITS)}"
    return ["sh", "-c", f"{shown}; cat /proc/net/tcp /proc/net/tcp6"]


def stopped(surveyed: str) -> list[str]:
    """Return a line for each service that should run and does not, and for each API without a port.

    Args:
        surveyed: The output of `survey`.
    """
    units: dict[str, dict[str, str]] = {}
    for block in surveyed.split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        units[fields.get("Id", "")] = fields
    listening = {int(port, 16) for port in network_faults.LISTENING.findall(surveyed)}
    runs = {name for name, fields in units.items() if fields.get("ActiveState") in RUNNING}
    if "ssh.socket" in runs:
        runs.add("ssh.service")
    wanted = [
        name for name in SERVICES
        if units.get(f"{name}.service", {}).get("UnitFileState") in ENABLED
    ]  # fmt: skip
    dead = [f"{name} does not run" for name in wanted if f"{name}.service" not in runs]
    return dead + [
        f"{name} does not answer"
        for name, port in APIS.items()
        if units.get(f"{name}.service", {}).get("ActiveState") == "active" and port not in listening
    ]


def remedy(faults: Sequence[str]) -> str:
    """Return the command that repairs the faults when run in the server; nothing without one."""
    dead = (" does not run", " does not answer")
    if units := " ".join(line.split()[0] for line in faults if line.endswith(dead)):
        return f"systemctl restart {units}"
    off = (" is disabled", " is masked")
    if units := " ".join(line.split()[0] for line in faults if line.endswith(off)):
        # `enable --now` starts no unit of an init script, as YunoHost's directory is.
        return (
            f"sh -c 'systemctl unmask {units}; systemctl enable {units}; systemctl start {units}'"
        )
    named = (re.search(r"\((yunohost .+)\)$", line) for line in faults)
    command = next((match.group(1) for match in named if match), "")
    return f"sh -c '{command}'" if ";" in command else command
