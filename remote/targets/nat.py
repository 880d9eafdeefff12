"""The managed part of before.rules, and its chains in the kernel.

Runs on the host: standard library alone. The rules are in a chain of
Grappe's own, which each load flushes and refills; one jump leads to it. UFW
loads before.rules only while it is enabled, so without it a small unit loads
the same rules at boot.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import Any, List, Mapping, Optional, Set, Tuple

from remote import iptables, ipv6, managed_block, private_networks, ufw_scripts
from remote.iptables import BRIDGES, FORWARD, INPUT, JUMPS, LET_IN, LET_THROUGH, NAT, Chains
from remote.system import File, RefusedError, System
from remote.target import Files, Fragment, Target
from remote.ufw_scripts import FILTER, JUMP_SCRIPT, LOAD, MODES
from remote.unmanaged import nat as unmanaged

RULES = "/etc/ufw/before.rules"
UNIT_NAME = "grappe-nat.service"
UNIT = f"/etc/systemd/system/{UNIT_NAME}"
# The unit starts at boot, and after units that flush everybody's tables.
WANTED = tuple(
    f"/etc/systemd/system/{unit}.wants/{UNIT_NAME}"
    for unit in ("multi-user.target", "nftables.service", "netfilter-persistent.service")
)
# Notes that we made the nat table itself, and remove it when we leave.
MADE_TABLE = "/var/lib/grappe/nat/made-table"

NAT_JUMP = ("nat", "PREROUTING", NAT)

UNIT_TEXT = f"""\
# Made by Grappe: its NAT rules at boot, also where UFW is not enabled.
[Unit]
Description=Grappe's NAT rules
After=ufw.service nftables.service netfilter-persistent.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'iptables-restore -w -n < {LOAD} && {{ {JUMP_SCRIPT}; }}'

[Install]
WantedBy=multi-user.target nftables.service netfilter-persistent.service
"""


class NatTarget(Target):
    """NAT rules of one host."""

    name = "nat"
    links = WANTED

    def __init__(self, system: System, shared_sections: Mapping[str, Any]) -> None:
        super().__init__(system, shared_sections)
        self._adopted: Set[str] = set()
        self._units_changed = False
        # The iptables-restore input that turns the old generation's rules into these files'.
        self._step: Tuple[str, Files] = ("", {})

    def paths(self) -> List[str]:
        """Return the files with the rules."""
        return [*MODES.values(), RULES, *MODES, UNIT, *WANTED, LOAD, FILTER]

    def compile(self, fragments: List[Fragment], current: Files) -> Files:
        """Return the files with these rules; without rules, none of our parts."""
        rules = current[RULES]
        if not fragments:
            return {
                RULES: File(managed_block.remove(rules.content)),
                **ufw_scripts.restored(current),
                UNIT: File(None),
                **{link: File(None) for link in WANTED},
                LOAD: File(None),
                FILTER: File(None),
            }
        if rules.content is None:
            raise RefusedError("there is no /etc/ufw/before.rules", do="apt install ufw")
        self._adopted = {key for f in fragments if f["parts"].get("adopt") for key in f["keys"]}
        jumps = [f"-I {JUMPS[ours]} -j {ours}" for ours in (INPUT, FORWARD)]
        nat = _table("nat", [NAT], self._rules(fragments))
        filtered = self._filter(fragments)
        body = _table("filter", list(JUMPS), filtered + jumps) + nat
        files = {
            RULES: File(managed_block.put(unmanaged.without(rules.content, self._adopted), body)),
            **ufw_scripts.with_our_part(current),
            UNIT: File(UNIT_TEXT, 0o644),
            **{link: File("", link=UNIT) for link in WANTED},
            LOAD: File(nat, 0o600),
            FILTER: File(_table("filter", list(JUMPS), filtered), 0o600),
        }
        self._units_changed = any(
            (files[path].content, files[path].link) != (current[path].content, current[path].link)
            for path in (UNIT, *WANTED)
        )
        scripts = any(files[path].content != current[path].content for path in MODES)
        changed = self._adopted or self._units_changed or scripts
        self._step = ("" if changed else _step(current, files), files)
        return files

    def check(self, fragments: List[Fragment], newest: str, held: Optional[Fragment]) -> None:
        """Refuse what the shared check refuses, and a rule without a target."""
        super().check(fragments, newest, held)
        for fragment in fragments:
            if fragment["id"] != newest or _is_bridge_allow(fragment):
                continue
            if not _has_target(fragment):
                raise RefusedError(
                    f"{newest} has no target",
                    "its port would lead to the lab host itself",
                    "name the server's address and port",
                    fragment=newest,
                )

    def validate(self, files: Files, staged: dict) -> None:  # type: ignore[type-arg]
        """Have iptables-restore parse the rules."""
        content = files[LOAD].content
        if not content:
            return
        test = ["iptables-restore", "-w", "-n", "--test"]
        if self._step[0] and self.system.run(test, self._step[0]).status == 0:
            return
        # If the step does not fit the loaded rules, `activate` loads all of them.
        self._step = ("", {})
        whole = _table("filter", list(JUMPS), _filtered(files)) + content
        self.system.must(test, whole)

    def activate(self, files: Files) -> None:
        """Load the chains; never by `ufw reload`, which disables UFW when it fails.

        The first call loads only the differences. If other rules are missing,
        `verify` reports it, and the second call loads all.
        """
        content = files[LOAD].content
        if content is None:
            self.deactivate()
            return
        (step, target), self._step = self._step, ("", {})
        load = ["iptables-restore", "-w", "-n"]
        if step and target is files and self.system.run(load, step).status == 0:
            return
        loaded = self._loaded_chains()
        if self.system.has("nft") and not (loaded.has_jump(*NAT_JUMP) or self._has_table()):
            self.system.write(MADE_TABLE, File("", 0o600))
        filtered = loaded.ufw_is_loaded()
        chains = _table("filter", list(JUMPS), _filtered(files)) if filtered else ""
        self.system.must(load, chains + content)
        self._jump(loaded, *NAT_JUMP)
        for line in unmanaged.rules_for(loaded.rules("nat", "PREROUTING"), self._adopted):
            self.system.must(["iptables", "-w", "-t", "nat", "-D", *shlex.split(line)[1:]])
        if filtered:
            for ours, chain in JUMPS.items():
                self._jump(loaded, "filter", chain, ours)
            ipv6.shut(self.system)
        if self._units_changed:
            self.system.must(["systemctl", "daemon-reload"])

    def verify(self, files: Files) -> str:
        """Compare the chains in the kernel with the wanted ones."""
        return "" if files[LOAD].content is None else self._fault(self._loaded_chains(), files)

    def diagnose(self, fragments: List[Fragment], files: Files) -> List[str]:
        """Return for each whether its rule is missing, or else what is wrong with the chains."""
        loaded = self._loaded_chains()
        rules, fault = set(loaded.rules("nat", NAT)), self._fault(loaded, files)
        return [
            fault
            if _is_bridge_allow(fragment) or fragment["parts"]["rule"] in rules
            else "the rule is not loaded in the kernel"
            for fragment in fragments
        ]

    def _fault(self, loaded: Chains, files: Files) -> str:
        # No two rules share a port, so their order in the nat table does not matter.
        wrong = loaded.compare("nat", NAT, _lines(files[LOAD]), ordered=False)
        for line in unmanaged.rules_for(loaded.rules("nat", "PREROUTING"), self._adopted):
            wrong = wrong or f"a rule by hand is loaded for the same port: {line}"
        if not wrong and not loaded.has_jump(*NAT_JUMP):
            late = loaded.position(*NAT_JUMP)
            what = f"a rule before the jump to {NAT}" if late else f"no jump to {NAT}"
            wrong = f"PREROUTING of the nat table has {what}"
        if wrong or not loaded.ufw_is_loaded():
            return wrong
        for ours, chain in JUMPS.items():
            own = [line for line in _filtered(files) if line.startswith(f"-A {ours} ")]
            # The order of rules that only accept does not matter.
            ordered = ours not in (LET_IN, LET_THROUGH)
            wrong = wrong or loaded.compare("filter", ours, own, ordered=ordered)
            first = [private_networks.is_rule(line) for line in loaded.rules("filter", ours)]
            if not wrong and first != sorted(first, reverse=True):
                wrong = f"a rule of {ours} that accepts stands before those that do not"
            if not wrong and not loaded.has_jump("filter", chain, ours):
                wrong = f"{chain} has no jump to {ours}"
        return wrong or self._open_to_ipv6()

    def _open_to_ipv6(self) -> str:
        names = ", ".join(ipv6.is_open(self.system))
        return f"IPv6 is on at {names}, and nothing keeps servers from the host" if names else ""

    def deactivate(self) -> None:
        """Remove the jumps and the chains from the kernel, and the table if we made it."""
        loaded, script = self._loaded_chains(), ""
        for table, jumps in (("nat", {NAT: "PREROUTING"}), ("filter", JUMPS)):
            lines: List[str] = []
            for ours, chain in jumps.items():
                if loaded.has(table, ours):
                    jump = f"{chain} -j {ours}"
                    lines += [f"-D {jump}"] * loaded.rules(table, chain).count(f"-A {jump}")
                    lines += [f"-F {ours}", f"-X {ours}"]
            script += _table(table, [], lines) if lines else ""
        if script:
            self.system.must(["iptables-restore", "-w", "-n"], script)
        ipv6.reopen(self.system)
        for link in WANTED[1:]:
            # We made the folder for our link; others may have added theirs since.
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(self.system.root + link))
        # An older Grappe's unit stays active once it has run.
        self.system.run(["systemctl", "stop", UNIT_NAME])
        self.system.run(["systemctl", "daemon-reload"])
        if self.system.read(MADE_TABLE).content is not None:
            saved = self.system.run(["iptables-save", "-t", "nat"])
            lines = saved.out.splitlines()
            if saved.status == 0 and not any(_belongs_to_somebody(line) for line in lines):
                self.system.run(["nft", "delete", "table", "ip", "nat"])
            self.system.write(MADE_TABLE, File(None))

    def _rules(self, fragments: List[Fragment]) -> List[str]:
        return [
            fragment["parts"]["rule"] for fragment in fragments if not _is_bridge_allow(fragment)
        ]

    def _filter(self, fragments: List[Fragment]) -> List[str]:
        """Return the filter rules: the shared, those to servers, and from each bridge to itself.

        With br_netfilter the kernel also filters packets between servers on one bridge.
        """
        bridges = sorted({f["parts"]["bridge"] for f in fragments if f["parts"].get("bridge")})
        own = [f"-A {FORWARD} -i {bridge} -o {bridge} -j RETURN" for bridge in bridges]
        let = [f"-A {LET_THROUGH} -i {bridge} -o {bridge} -j ACCEPT" for bridge in bridges]
        let += [_let_through(f["spec"]) for f in fragments if not _is_bridge_allow(f)]
        lines = list(self.shared_sections["filter"])
        drop = next(n for n, line in enumerate(lines) if line.endswith("-j DROP"))
        # They must precede the accept of LET_THROUGH among the shared rules.
        closed = private_networks.rules(self.system)
        return lines[:drop] + own + closed + lines[drop:] + list(dict.fromkeys(let))

    def _jump(self, loaded: Chains, table: str, chain: str, ours: str) -> None:
        if loaded.has_jump(table, chain, ours):
            return
        argv = ["iptables", "-w", "-t", table]
        # A jump that comes too late moves to the head.
        if loaded.position(table, chain, ours):
            self.system.run([*argv, "-D", chain, "-j", ours])
        self.system.must([*argv, "-I", chain, "-j", ours])

    def _loaded_chains(self) -> Chains:
        def run(argv: List[str]) -> str:
            """Run a program; only the listing of everything must succeed."""
            whole = argv == ["iptables-save"]
            return (self.system.must if whole else self.system.run)(argv).out

        return Chains(iptables.listing(run))

    def _has_table(self) -> bool:
        tables = self.system.run(["nft", "list", "tables"]).out.splitlines()
        return "table ip nat" in tables


def _table(name: str, chains: List[str], lines: List[str]) -> str:
    declared = [f":{chain} - [0:0]" for chain in chains]
    return "\n".join([f"*{name}", *declared, *lines, "COMMIT", ""])


def _lines(file: File) -> List[str]:
    return [line for line in (file.content or "").splitlines() if line.startswith("-A ")]


def _step(old: Files, new: Files) -> str:
    """Return the iptables-restore input from one generation's rules to another's.

    Nothing without an old generation, or where the drops change too: there the order counts.
    """
    was, will = _lines(old[LOAD]), _lines(new[LOAD])
    if not was or was == will:
        return ""
    drops = [[x for x in _filtered(files) if not _accepts(x)] for files in (old, new)]
    if drops[0] != drops[1]:
        return ""
    accepts = [[x for x in _filtered(files) if _accepts(x)] for files in (old, new)]
    filtered = _table("filter", [], _steps(*accepts)) if accepts[0] != accepts[1] else ""
    return filtered + _table("nat", [], _steps(was, will))


def _accepts(line: str) -> bool:
    let = line.startswith((f"-A {LET_IN} ", f"-A {LET_THROUGH} "))
    return let and not private_networks.is_rule(line)


def _steps(was: List[str], will: List[str]) -> List[str]:
    before, after = set(was), set(will)
    gone = [f"-D{line[2:]}" for line in was if line not in after]
    return gone + [line for line in will if line not in before]


def _let_through(spec: Mapping[str, Any]) -> str:
    """Return the filter rule that accepts a NAT rule's connections, and no others."""
    protocol, port = spec.get("protocol", "tcp"), int(spec["target_port"])
    return (
        f"-A {LET_THROUGH} -d {spec['target_address']}/32 ! -i {BRIDGES} -p {protocol} "
        f"-m conntrack --ctstate DNAT -m {protocol} --dport {port} -j ACCEPT"
    )


def _filtered(files: Files) -> List[str]:
    """Return the filter rules of our part of before.rules, without the jumps."""
    lines = (managed_block.split(files[RULES].content or "").body or "").splitlines()
    own = tuple(f"-A {chain} " for chain in JUMPS)
    return [line for line in lines if line.startswith(own)]


def _is_bridge_allow(fragment: Fragment) -> bool:
    return bool(fragment["parts"].get("opening"))


def _has_target(fragment: Fragment) -> bool:
    address, _, port = str(fragment["parts"].get("target", "")).partition(":")
    rule = str(fragment["parts"].get("rule", ""))
    return bool(address and port) and rule.endswith(f"--to-destination {address}:{port}")


def _belongs_to_somebody(line: str) -> bool:
    # `incompatible`: the table has native nftables rules that iptables cannot show.
    own_chain = line.startswith(":") and line.split()[1] == "-"
    return line.startswith("-A ") or own_chain or "incompatible" in line
