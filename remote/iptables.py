"""The loaded iptables rules, parsed from one listing. Pure.

Runs on the host too: standard library alone.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from typing import Callable, Dict, Iterator, List, NamedTuple, Set, Tuple, TypedDict

# iptables matches interfaces by prefix: one rule serves every student's bridge.
BRIDGES = "gr-+"
# The beginning of the names of all our chains.
OURS = "GRAPPE-"
NAT = "GRAPPE-DNAT"
# Chains that drop. They precede all that UFW and its users accept: UFW accepts pings.
INPUT, FORWARD = "GRAPPE-INPUT", "GRAPPE-FORWARD"
# Chains that accept: after all that people deny, or we would override them.
LET_IN, LET_THROUGH = "GRAPPE-LET-IN", "GRAPPE-LET-THROUGH"
# The UFW chain that jumps to each of ours in the filter table.
JUMPS = {
    INPUT: "ufw-before-input", FORWARD: "ufw-before-forward",
    LET_IN: "ufw-after-input", LET_THROUGH: "ufw-after-forward",
}  # fmt: skip
# UFW handles these first; isolation does not concern them.
_FIRST = ("-i lo ", "--ctstate RELATED,ESTABLISHED ", "--ctstate INVALID ")


# What packets meet before UFW's chains, or beside them.
PRECEDING = (
    ("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("mangle", "INPUT"), ("mangle", "FORWARD"),
    ("filter", "INPUT"), ("filter", "FORWARD"),
    # What HAProxy sends to servers.
    ("raw", "OUTPUT"), ("mangle", "OUTPUT"), ("filter", "OUTPUT"), ("mangle", "POSTROUTING"),
)  # fmt: skip
# The hooks by which packets leave the host.
OUTWARDS = ("OUTPUT", "POSTROUTING")
# The kernel follows 16 jumps.
DEEPEST = 16
BASE_CHAINS = {
    "raw": ("PREROUTING", "OUTPUT"), "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}  # fmt: skip
VERDICTS = {"ACCEPT", "DROP", "REJECT", "RETURN", "LOG", "DNAT", "SNAT", "MASQUERADE", "REDIRECT",
            "MARK", "CT", "TCPMSS", "NFLOG", "NFQUEUE", "NETMAP", "CHECKSUM", "CONNMARK", "NOTRACK",
            "SET", "TPROXY"}  # fmt: skip


def target(line: str) -> str:
    """Return the target of a rule (-j or -g); empty for a rule without one."""
    match = re.search(r" -[jg] (\S+)", line)
    return match.group(1) if match else ""


def listing(run: Callable[[List[str]], str]) -> str:
    """Return what `iptables-save` prints, also of tables with native rules of nftables.

    It hides such a table whole; `iptables -S` shows the other rules of one chain.

    Args:
        run: Runs a program; returns what it printed.
    """
    saved = run(["iptables-save"])
    # A chain with such a rule is the only one that `-S` does not show either.
    for table in re.findall(r"^# Table `(\w+)' is incompatible", saved, re.MULTILINE):
        lines, waiting = [f"*{table}"], list(BASE_CHAINS.get(table, ()))
        for chain in waiting:
            rules = run(["iptables", "-w", "-t", table, "-S", chain]).splitlines()
            lines += rules
            jumps = [target(rule) for rule in rules if rule.startswith("-A ")]
            waiting += [
                each for each in dict.fromkeys(jumps)
                if each and each not in waiting and each not in VERDICTS
            ]  # fmt: skip
        saved += "\n".join([*lines, "COMMIT", ""])
    return saved


class Condition(NamedTuple):
    """An option of a rule.

    Attributes:
        value: Its first word; empty for a flag.
        negated: Whether a `!` precedes it.
    """

    value: str
    negated: bool = False


def conditions(line: str) -> Dict[str, Condition]:
    """Return the options of a rule by name, without its comments."""
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    found: Dict[str, Condition] = {}
    for index, word in enumerate(words):
        before = words[index - 1] if index else ""
        if not word.startswith("-") or before == "--comment":
            continue
        value = words[index + 1] if index + 1 < len(words) else ""
        found[word] = Condition("" if value.startswith(("-", "!")) else value, before == "!")
    found.pop("--comment", None)
    return found


def network(text: str) -> ipaddress.IPv4Network:
    """Return the network of a rule's address; all of IPv4 for a mask with gaps."""
    try:
        return ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return ipaddress.IPv4Network("0.0.0.0/0")


def ufw_jumps_command(hook: str) -> str:
    """Return the command that restores the jumps from a kernel's chain to UFW's, in UFW's order.

    UFW itself adds these jumps only when it creates its chains.
    """
    jump = f"{hook} -j ufw-$c-{hook.lower()}"
    steps = f"iptables -D {jump} 2>/dev/null; iptables -A {jump}"
    return f"for c in before-logging before after after-logging reject track; do {steps}; done"


def ends_nat(line: str) -> bool:
    """Whether a rule of PREROUTING keeps people's packets from rules behind it."""
    matched = re.search(r" -j (ACCEPT|RETURN)$", line)
    other = re.search(r" -p (?!tcp|all)|(?<!!) -i (?:docker|br-|virbr|lxd|lo|gr-)", line)
    return bool(matched and not other)


class Preceding(TypedDict):
    """A rule before UFW's.

    Attributes:
        table: Its table.
        line: The rule.
        whole: The same in the kernel's own chain, with the conditions of the jumps that lead to it.
    """

    table: str
    line: str
    whole: str


class Chains:
    """The loaded rules.

    Every run of iptables fetches all rules, which may be thousands, so one listing serves all.

    Args:
        listing: The output of `iptables-save`; or, below a table's name, of `iptables -S`.
    """

    def __init__(self, listing: str) -> None:
        self._rules: Dict[Tuple[str, str], List[str]] = {}
        self._chains: Set[Tuple[str, str]] = set()
        table = ""
        for line in listing.splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith((":", "-N ")):
                self._chains.add((table, line.lstrip(":").replace("-N ", "", 1).split()[0]))
            elif line.startswith("-A "):
                self._rules.setdefault((table, line.split(None, 2)[1]), []).append(line)

    def has(self, table: str, chain: str) -> bool:
        """Whether the table has the chain."""
        return (table, chain) in self._chains

    def rules(self, table: str, chain: str) -> List[str]:
        """Return the rules of a chain; none for a missing chain."""
        return self._rules.get((table, chain), [])

    def flat(self, table: str, chain: str) -> List[str]:
        """Return a chain's rules, those of the chains that it jumps to behind its conditions."""
        return [rule["whole"] for line in self.rules(table, chain)
                for rule in self._followed(table, line, line)]  # fmt: skip

    def table(self, table: str) -> List[str]:
        """Return all rules of a table, chain by chain."""
        return [line for (name, _chain), rules in self._rules.items() if name == table
                for line in rules]  # fmt: skip

    def unled(self) -> List[str]:
        """Return the chains of a loaded UFW that no rule of the filter table jumps to."""
        if not self.ufw_is_loaded():
            return []
        led = {target(line) for line in self.table("filter")}
        return [chain for chain in JUMPS.values() if chain not in led]

    def before_ufw(self) -> Iterator[Preceding]:
        """Yield the rules that packets to, through or from the host meet before UFW's users'.

        From UFW's own chains it yields only rules that drop: their accepts come after our jumps.
        """
        for table, chain in PRECEDING:
            for line in self.rules(table, chain):
                if target(line).startswith("ufw-"):
                    yield from self._ends_in_ufw(chain)
                    break
                yield from self._followed(table, line, line)

    def _ends_in_ufw(self, hook: str) -> Iterator[Preceding]:
        """Yield what somebody wrote into UFW's chains that drops, ahead of its users' rules."""
        chain = f"ufw-before-{hook.lower()}"
        for line in self.rules("filter", chain):
            if target(line).startswith("ufw-user-"):
                return
            if target(line).startswith(("ufw-", OURS)):
                continue
            whole = line.replace(chain, hook, 1)
            for rule in self._followed("filter", line, whole):
                if target(rule["line"]) in ("DROP", "REJECT"):
                    yield rule

    def _followed(self, table: str, line: str, whole: str, depth: int = 0) -> Iterator[Preceding]:
        """Yield a rule; or the rules of the chain that it jumps to, each behind its conditions."""
        if target(line).startswith("ufw-user-"):
            # `checks.ufw_denials` reports the denials of UFW's users.
            return
        inner = self.rules(table, target(line)) if depth < DEEPEST else []
        if not inner:
            yield {"table": table, "line": line, "whole": whole}
        head = re.sub(r" -[jg] \S+.*", "", whole)
        for rule in inner:
            joined = f"{head} {rule.split(None, 2)[2]}"
            yield from self._followed(table, rule, joined, depth + 1)

    def position(self, table: str, chain: str, target: str) -> int:
        """Return the number of a chain's rule that jumps to another chain; 0 for none."""
        rules, line = self.rules(table, chain), f"-A {chain} -j {target}"
        return rules.index(line) + 1 if line in rules else 0

    def has_jump(self, table: str, chain: str, ours: str) -> bool:
        """Whether a chain jumps to ours before any other of its rules decides."""
        rules = self.rules(table, chain)[: self.position(table, chain, ours)]
        if chain in JUMPS.values():
            return bool(rules) and all(any(word in rule for word in _FIRST) for rule in rules[:-1])
        return bool(rules) and not any(ends_nat(rule) for rule in rules[:-1])

    def ufw_is_loaded(self) -> bool:
        """Whether UFW is enabled; a disabled one leaves its chains behind, empty."""
        chain = JUMPS[FORWARD]
        return any(rule != f"-A {chain} -j {FORWARD}" for rule in self.rules("filter", chain))

    def compare(self, table: str, chain: str, wanted: List[str], *, ordered: bool) -> str:
        """Return how a chain's rules differ from the wanted ones; nothing if they do not."""
        loaded = self.rules(table, chain)
        if loaded == wanted or (not ordered and sorted(loaded) == sorted(wanted)):
            return ""
        known, there = set(wanted), set(loaded)
        words = [f"not loaded: {line}" for line in wanted if line not in there][:3]
        words += [f"loaded by somebody else: {line}" for line in loaded if line not in known][:3]
        return "\n".join(words) or f"the rules of {chain} are in another order, or twice"
