"""Judge a lab host's firewall: UFW, our chains, NAT, and others' rules around them; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from checks import conflicts, dropping_rules, isolation
from checks.finding import Finding
from core.names import STUDENTS
from remote import iptables, managed_block
from remote.surveys.facts import HealthFacts

MEND = "./lab up STACK"
# The effect of a missing jump from UFW's chains to each of ours.
EFFECTS = {
    iptables.INPUT: "servers reach the host's own services",
    iptables.FORWARD: "one student's servers reach another's",
    iptables.LET_IN: "no page answers, and no server gets an address",
    iptables.LET_THROUGH: "no port reaches any server, and no server reaches the internet",
}


def judge(facts: HealthFacts) -> Iterator[Finding]:
    """Yield what is wrong with the firewall of a host."""
    yield from _ufw(facts)
    yield from _nat(facts)
    yield from _obstacles(facts)
    yield from _isolation(facts)


def has_rules(facts: HealthFacts) -> bool:
    """Whether any lab's ports lead to servers."""
    held = (key for fragment in facts["fragments"] for key in fragment["keys"])
    return any(key.startswith(("tcp/", "udp/")) for key in held)


def _ufw(facts: HealthFacts) -> Iterator[Finding]:
    ufw = facts["ufw"]
    if not ufw["enabled"]:
        seen = "its rules are still loaded, until the next boot" if ufw["active"] else ""
        yield Finding(
            "UFW is disabled: nothing keeps one student's servers from another's",
            "ufw allow ssh && ufw enable", seen,
        )  # fmt: skip
    elif not ufw["active"]:
        yield Finding("UFW is enabled, but its rules are not loaded", "ufw reload")
    for bridge in facts["ipv6"] if has_rules(facts) else ():
        yield Finding(
            f"IPv6 is on at {bridge}: its servers reach the host and each other by it", MEND
        )
    for script in facts["switched_off"] if has_rules(facts) else ():
        yield Finding(
            f"{script} is not executable: a restart of UFW loses the NAT rules",
            f"chmod u+x {script}",
        )
    if ufw["enabled"] and ufw["active"] and has_rules(facts):
        yield from _chains(facts)
    if facts["forwarding"] != "1":
        yield Finding(
            "the kernel does not forward packets: no port reaches any server",
            "sysctl -w net.ipv4.ip_forward=1", "net.ipv4.ip_forward = " + facts["forwarding"],
        )  # fmt: skip
    for line in facts.get("ufw_sysctl", ()) if has_rules(facts) else ():
        yield Finding(
            "each reload of UFW ends forwarding: no port reaches any server then",
            "remove that line, or set it to 1", line,
        )  # fmt: skip
    for interface in (
        facts["unforwarded"] if has_rules(facts) and facts["forwarding"] == "1" else ()
    ):
        yield Finding(
            f"the kernel forwards no packets that come in by {interface}",
            f"sysctl -w net/ipv4/conf/{interface}/forwarding=1",
        )


def _chains(facts: HealthFacts) -> Iterator[Finding]:
    """Yield how the loaded chains differ from the wanted ones."""
    loaded = iptables.Chains(facts["chains"])
    for ours, chain in iptables.JUMPS.items():
        if not loaded.has_jump("filter", chain, ours):
            yield Finding(f"{chain} has no jump to {ours}: {EFFECTS[ours]}", MEND)
            continue
        wanted = _wanted_rules(facts, ours)
        # `lab_host` reports a missing part.
        if wanted and (wrong := loaded.compare("filter", ours, wanted, ordered=False)):
            lacks = wrong.startswith("not loaded")
            what = f"is not what it should be: {EFFECTS[ours]}" if lacks else "has rules too many"
            yield Finding(f"{ours} {what}", MEND, wrong)


def _wanted_rules(facts: HealthFacts, chain: str) -> list[str]:
    """Return the rules of one of our chains from our part of before.rules."""
    try:
        part = managed_block.split(facts["files"].get("/etc/ufw/before.rules") or "").body or ""
    except managed_block.DamagedError:
        return []
    return [line for line in part.splitlines() if line.startswith(f"-A {chain} ")]


def _obstacles(facts: HealthFacts) -> Iterator[Finding]:
    """Yield what keeps a lab's parts from being changed, loaded or reached."""
    if facts["fragments"]:
        for problem, do in conflicts.obstacles(facts):
            yield Finding(problem, do)
        for table, rule in conflicts.bans(facts, _forwarded(facts)):
            yield Finding(
                f"a rule of nft's table {table} keeps people out of pages or servers",
                f"nft list table {table} shows whom; if fail2ban made it: fail2ban-client banned",
                rule,
            )
        for table, line in dict.fromkeys(dropping_rules.drops(facts, _forwarded(facts))):
            yield _drop("a rule before UFW's keeps people out of pages or servers", table, line)


def _drop(what: str, table: str, line: str) -> Finding:
    named = "" if table == "filter" else f"-t {table} "
    do = (
        f"if that is not intended: iptables {named}-D {line[3:]}; and take it out of the file that "
        "loads it, often /etc/ufw/before.rules or after.rules"
    )
    if line.startswith("-A f2b-"):
        do = "fail2ban made it: fail2ban-client banned; fail2ban-client unban ADDRESS"
    if line.startswith(("-A ufw-docker", "-A DOCKER-USER")):
        # Without its drops every container that Docker publishes would be open.
        do = (
            f"exempt labs from it: iptables -I DOCKER-USER -d {STUDENTS} -j RETURN; and the same "
            "before it in the file that loads it, often /etc/ufw/after.rules"
        )
    return Finding(what, do, f"{named}{line}")


def limits(facts: HealthFacts) -> Iterator[Finding]:
    """Yield the rules before UFW's that drop a part of what people send: too much, or some text."""
    for table, line in dropping_rules.drops(facts, _forwarded(facts), whole=False):
        yield _drop("a rule before UFW's drops a part of what people send", table, line)


def _isolation(facts: HealthFacts) -> Iterator[Finding]:
    """Yield the rules of others that void the isolation."""
    for breach in isolation.breaches(facts) if facts["fragments"] else ():
        yield Finding(
            f"a rule before UFW's lets servers reach {breach.whom}, past the isolation",
            breach.do,
            breach.line,
        )


def _forwarded(facts: HealthFacts) -> list[int]:
    """Return the ports of the host that lead to servers."""
    return sorted({item["port"] for item in facts["targets"] if item.get("port")})


def _nat(facts: HealthFacts) -> Iterator[Finding]:
    rules = [line for line in facts["nat"] if line.startswith("-A ")]
    for line, count in Counter(line for line in rules if " -j DNAT" in line).items():
        if count > 1:
            yield Finding(f"a rule is loaded {count} times", f"iptables -t nat -D {line[3:]}", line)
    needed = has_rules(facts)
    for line in dropping_rules.nat_ends(facts) if needed else ():
        yield Finding("a rule of NAT keeps people from every server's ports", MEND, line)
    if needed and f"-A PREROUTING -j {iptables.NAT}" not in rules:
        yield Finding(f"PREROUTING has no jump to {iptables.NAT}: no port reaches any server", MEND)
    for path in facts["copies"]:
        yield Finding(
            f"{path} has a copy of Grappe's rules: a boot brings them back, also those of labs "
            "that are down",
            f"take the lines with {iptables.OURS} out of it",
        )
    unit = facts["units"]["grappe-nat"]
    if needed and unit.get("UnitFileState") != "enabled":
        yield Finding(
            "grappe-nat.service is not enabled: a boot without UFW loses the rules",
            "systemctl enable grappe-nat", f"it is {unit.get('UnitFileState') or 'not there'}",
        )  # fmt: skip
