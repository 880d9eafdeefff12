"""Match each resource of a student's lab with the lab sheet's lines, with its values; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from providers.nat import model as nat
from remote import haproxy_maps
from stacks import server_plan
from stacks.server import ServerSpec
from stacks.settings import TunnelSettings
from stacks.spec import LabSpec
from views import card

RULES, CONFIG = "/etc/ufw/before.rules", "/etc/haproxy/haproxy.cfg"


@dataclasses.dataclass(frozen=True)
class Part:
    """One resource, explained.

    Attributes:
        resource: Its logical name.
        what: A description.
        sheet: The lab sheet's commands or lines for a file, with this lab's values.
        differs: How Grappe differs, and why; nothing if it does the same.
        see: The command that shows it.
    """

    resource: str
    what: str
    sheet: tuple[str, ...]
    differs: str = ""
    see: str = ""


def parts(lab: LabSpec, dialled: str) -> list[Part]:
    """Return every resource of a lab in the order of the sheet.

    Args:
        lab: The lab.
        dialled: The address of the lab host that students dial.
    """
    parts = [
        Part(
            "preflight", "checks beforehand",
            ("ip a", "ss -ltn", "lxc list", "lxc image list"),
            "surveys the host once, changes nothing, and reports all obstacles together",
        ),
        Part(
            lab.project, "LXD project",
            ((f"lxc project create {lab.project} -c features.images=false "
              "-c features.profiles=false"),
             *(f"lxc project set {lab.project} {key}={value}"
               for key, value in lab.quota.items())),
            "not in the sheet: with it every student's servers can be called yuno1 and yuno2",
            "lxc project list",
        ),
        Part(
            lab.bridge, "network bridge",
            ((f"lxc network create {lab.bridge} ipv4.address={lab.gateway}/24 ipv4.nat=true "
              "ipv4.firewall=false ipv6.address=none"),),
            "the sheet has one bridge for all, lxdbr0; one each keeps students apart",
            f"lxc network show {lab.bridge}",
        ),
    ]  # fmt: skip
    for server in lab.servers:
        parts += _server(lab, server, dialled)
    if lab.tunnel:
        parts.append(_tunnel(lab, lab.tunnel, dialled))
    return parts


def _server(lab: LabSpec, server: ServerSpec, dialled: str) -> Iterator[Part]:
    name = f"{lab.student}-{server.name}"
    inside = f"lxc exec {server.name} --project {lab.project} --"
    limits = tuple(
        f"lxc config set {server.name} limits.{key}={value} --project {lab.project}"
        for key, value in server.limits.items()
    )
    yield Part(
        name, "container",
        ((f"lxc launch {server.image} {server.name} --project {lab.project} "
          f"--network {lab.bridge} --device eth0,ipv4.address={server.address}"), *limits),
        "waits until it has its address, its system is up and its sshd answers",
        f"lxc list --project {lab.project}",
    )  # fmt: skip
    if server.read:
        yield Part(
            f"{name}-…", "installation",
            tuple(f"{inside} sh -eu    # {step.name}" for step in server.read.steps),
            "each step is done once, and again when it has changed",
        )  # fmt: skip
    if server.publish:
        yield Part(
            f"{name}-image", "published image",
            (f"lxc stop {server.name}", f"lxc publish {server.name} --alias {server.publish}",
             f"lxc start {server.name}", "lxc image list"),
            "takes a copy without host keys and machine-id, so that no two servers share them",
            f"lxc image show {server.publish}",
        )  # fmt: skip
    if lab.post_install:
        yield Part(
            f"{name}-postinstall", "post-installation",
            ((f"{inside} yunohost tools postinstall --domain {server.domain} "
              f"--username {lab.login} --fullname … --password …"),),
            "no process list and no log shows the password",
            f"{inside} grep -r --include='*tools_postinstall*.yml' success: /var/log/yunohost",
        )  # fmt: skip
    yield _rule(lab, server, dialled)
    yield _backend(lab, server)
    if lab.workstation != "none":
        yield Part(
            f"{name}-hosts", "hosts entry", ("in /etc/hosts of your own machine:",
                                             f"  {dialled}  {server.domain}"),
            see=f"getent hosts {server.domain}",
        )  # fmt: skip
        login = lab.user if lab.post_install or lab.keys else str(card.ITS_USER)
        yield Part(
            f"{name}-probe", "final test",
            (f"ssh -p {server.port} {login}@{dialled}", f"wget --no-check-certificate http://{server.domain}/",
             f"wget --no-check-certificate https://{server.domain}/"),
            "`up` fails if one of them does not answer, and names it",
            f"./lab check {lab.owner.rpartition('/')[2]}",
        )  # fmt: skip


def _rule(lab: LabSpec, server: ServerSpec, dialled: str) -> Part:
    spec = server_plan.rule(lab, server, {"host": lab.host, "owner": lab.owner})
    interface = lab.interface or "<interface>"
    return Part(
        f"{lab.student}-{server.name}-ssh", "NAT rule",
        (f"in {RULES}, in *nat:",
         (f"  -A PREROUTING -d {dialled}/32 -i {interface} -p tcp -m comment --comment "
          f"{spec.comment} -m tcp --dport {spec.port} -j DNAT "
          f"--to-destination {server.address}:22"),
         "ufw allow ssh", "iptables -t nat -F && ufw reload"),
        f"its line is {nat.fragment(spec).parts['rule']}: in a chain of its own, so that a reload "
        "loads it once and nobody else's rules are flushed",
        "iptables -t nat -L GRAPPE-DNAT",
    )  # fmt: skip


def _backend(lab: LabSpec, server: ServerSpec) -> Part:
    name = server.name
    state = haproxy_maps.UP if server.state == "running" else haproxy_maps.STOPPED
    return Part(
        f"{lab.student}-{name}-web", "HAProxy backend",
        (f"in {CONFIG}, frontend http_balancing:",
         f"  acl {name}_acl hdr(host) -i {server.domain}",
         f"  use_backend {name}_backend if {name}_acl",
         "backend ssl_sni_balancing:",
         f"  acl {name}_acl req_ssl_sni -i {server.domain}",
         f"  use-server {name}_backend if {name}_acl",
         f"  server {name}_backend {server.address}:443 check",
         f"backend {name}_backend:",
         f"  server {name}_backend {server.address}:80 cookie A check",
         "systemctl restart haproxy"),
        f"its line is `{server.domain} {server.address}` in {haproxy_maps.ROUTES}, and "
        f"`{server.domain} {state}` in {haproxy_maps.STATES}: one frontend routes by these maps, "
        "and changed lines go to the running HAProxy, so that no connection is cut",
        f"cat {haproxy_maps.ROUTES} {haproxy_maps.STATES}",
    )  # fmt: skip


def _tunnel(lab: LabSpec, tunnel: TunnelSettings, dialled: str) -> Part:
    addresses = {server.name: server.address for server in lab.servers}
    wanted = " ".join(
        f"-R '*:{forward.listen}:{addresses.get(forward.server, dialled)}:{forward.port}'"
        for forward in tunnel.forwards
    )
    target = tunnel.relay.removeprefix("ssh://").rpartition("@")[2]
    return Part(
        f"{lab.student}-tunnel", "tunnel to the internet", (f"ssh -N {wanted} you@{target}",),
        "a systemd unit holds it: restarted when it breaks, the relay's host key pinned, a user "
        "that may do nothing else",
        f"systemctl status grappe-tunnel-{lab.student}",
    )  # fmt: skip


def render(parts: Sequence[Part]) -> str:
    """Return the parts as text."""
    lines: list[str] = []
    for part in parts:
        lines += [f"{part.resource}  ({part.what})"]
        lines += [f"    {'$ ' if _is_command(line) else ''}{line}" for line in part.sheet]
        if part.differs:
            lines.append(f"  Grappe: {part.differs}")
        if part.see:
            lines.append(f"  See: {part.see}")
        lines.append("")
    return "\n".join(lines)


def _is_command(line: str) -> bool:
    return not line.startswith(("in /", "  ", "backend "))
