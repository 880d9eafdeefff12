"""A fake host in a folder; it passes the same contract suite as the real one.

Its files are real files below the folder; it plays iptables, nft, HAProxy and
systemd in memory, as far as the targets use them.
"""

from __future__ import annotations

import pathlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from remote import fragment_store as stores
from remote import transaction
from remote.system import Result, System
from remote.target import Target

OK = Result(0, "", "")
FAILED = Result(1, "", "")


class FakeSystem(System):
    """A machine with fake programs.

    Attributes:
        rules6: The rules of ip6tables, as it prints them.
        chains: By table and chain, the loaded rules, as `iptables -S` prints them.
        running: Whether HAProxy runs.
        loaded: The configuration that HAProxy has loaded.
        reloads: How often it was reloaded or started.
        pause: Seconds that a reload takes.
        stuck: Whether HAProxy ignores reloads, as if its new worker failed to start.
        maps: The maps that HAProxy has loaded, by path.
        broken: What HAProxy writes to the journal where it does not start; empty where it does.
        mute: Whether its run-time socket fails.
    """

    def __init__(self, root: pathlib.Path) -> None:
        super().__init__(str(root))
        self.chains: dict[tuple[str, str], list[str]] = {
            ("filter", "ufw-before-input"): ["-A ufw-before-input -j ufw-user-input"],
            ("filter", "ufw-before-forward"): ["-A ufw-before-forward -j ufw-user-forward"],
            ("filter", "ufw-after-input"): [
                "-A ufw-after-input -p udp -m udp --dport 67 -j ufw-skip-to-policy-input"
            ],
            ("filter", "ufw-after-forward"): [],
            ("nat", "PREROUTING"): [],
        }
        self.rules6: list[str] = []
        self.running, self.loaded, self.reloads, self.stuck = True, "", 0, False
        self.maps: dict[str, list[tuple[str, str]]] = {}
        self.mute = False
        self.broken = ""
        self.users: set[str] = set()
        self.pause = 0.0

    def run(
        self, argv: Sequence[str], stdin: str = "", environment: dict[str, str] | None = None
    ) -> Result:
        """Play a program; none of those here looks at its environment."""
        del environment
        play: Callable[..., Result] = getattr(self, f"_{argv[0].replace('-', '_')}")
        return play([word for word in argv[1:] if word != "-w"], stdin)

    def has(self, program: str) -> bool:
        """Return true: every program is installed."""
        return bool(program)

    def http(self, port: int, path: str) -> str:
        """Answer as the frontend does."""
        match = re.search(r'string "([0-9a-f]{16}) %\[str\((\w+)\),map\((\S+?)\)', self.loaded)
        if not self.running or not match or port != 80 or not path:  # noqa: PLR2004
            raise ConnectionRefusedError("connection refused")
        return f"{match.group(1)} {dict(self.maps.get(match.group(3), [])).get(match.group(2), '')}"

    def send(self, path: str, text: str) -> str:
        """Answer as HAProxy's run-time socket does."""
        if not self.running or f"stats socket {path} " not in self.loaded or self.mute:
            raise ConnectionRefusedError("connection refused")
        return "".join(self._command(*command.split()) + "\n" for command in text.split(";"))

    def _command(self, action: str, _map: str, path: str, key: str = "", value: str = "") -> str:
        if path not in self.maps:
            return "Unknown map identifier. Please use #<id> or <file>.\n"
        entries = self.maps[path]
        if action == "show":
            return "".join(f"0x{n:x} {key} {value}\n" for n, (key, value) in enumerate(entries))
        known = any(held == key for held, _value in entries)
        if action == "add":
            entries.append((key, value))
        elif not known:
            return "entry not found.\n"
        elif action == "set":
            self.maps[path] = [(k, value if k == key else v) for k, v in entries]
        else:
            self.maps[path] = [(k, v) for k, v in entries if k != key]
        return ""

    def _iptables(self, words: list[str], _stdin: str) -> Result:
        _option, table, action, chain, *rest = words
        rules = self.chains.get((table, chain))
        if rules is None:
            return FAILED
        line = " ".join(["-A", chain, *rest])
        if action == "-S":
            return Result(0, "\n".join([f"-N {chain}", *rules]), "")
        if action == "-C":
            return OK if line in rules else FAILED
        if action == "-I":
            position = int(rest.pop(0)) if rest[0].isdigit() else 1
            rules.insert(position - 1, " ".join(["-A", chain, *rest]))
            return OK
        done = _restore(self.chains, table, " ".join([action, chain, *rest]))
        return OK if done else FAILED

    def _ip6tables(self, words: list[str], _stdin: str) -> Result:
        action, *rest = words
        line = " ".join(["-A", *rest])
        if action == "-I":
            self.rules6.insert(0, line)
        elif line not in self.rules6:
            return FAILED
        elif action == "-D":
            self.rules6.remove(line)
        return OK

    def _ip6tables_save(self, _words: list[str], _stdin: str) -> Result:
        return Result(0, "\n".join(self.rules6), "")

    def _iptables_restore(self, words: list[str], stdin: str) -> Result:
        table, loaded = "", {key: list(rules) for key, rules in self.chains.items()}
        for line in stdin.splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line != "COMMIT" and not _restore(loaded, table, line):
                return Result(1, "", f"iptables-restore: cannot be: {line}")
        if "--test" not in words:
            self.chains = loaded
        return OK

    def _iptables_save(self, words: list[str], _stdin: str) -> Result:
        only = words[1] if words else ""
        lines: list[str] = []
        for table in sorted({table for table, _chain in self.chains if only in ("", table)}):
            chains = {
                chain: rules for (owner, chain), rules in self.chains.items() if owner == table
            }
            lines += [f"*{table}", *(f":{chain} - [0:0]" for chain in chains)]
            lines += [rule for rules in chains.values() for rule in rules] + ["COMMIT"]
        return Result(0, "\n".join(lines), "")

    def _id(self, words: list[str], _stdin: str) -> Result:
        return OK if words[-1] in self.users else FAILED

    def _useradd(self, words: list[str], _stdin: str) -> Result:
        self.users.add(words[-1])
        return OK

    def _userdel(self, words: list[str], _stdin: str) -> Result:
        self.users.discard(words[-1])
        return OK

    def _pkill(self, _words: list[str], _stdin: str) -> Result:
        return OK

    def _sshd(self, words: list[str], _stdin: str) -> Result:
        drop_in = self.read("/etc/ssh/sshd_config.d/grappe-tunnel.conf").content or ""
        return Result(0, drop_in.replace("    ", ""), "") if "-T" in words else OK

    def _nft(self, words: list[str], _stdin: str) -> Result:
        return Result(0, "table ip nat", "") if words[:2] == ["list", "tables"] else OK

    def _haproxy(self, words: list[str], _stdin: str) -> Result:
        text = pathlib.Path(words[-1]).read_text()
        if "nonsense" in text:
            number = next(n for n, line in enumerate(text.splitlines(), 1) if "nonsense" in line)
            alert = f"[ALERT] (1) : config : parsing [{words[-1]}:{number}] : unknown keyword"
            return Result(1, "", alert)
        return OK

    def _journalctl(self, _words: list[str], _stdin: str) -> Result:
        return Result(0, f"[NOTICE] (7) : started\n{self.broken}\nstopped\n", "")

    def _systemctl(self, words: list[str], _stdin: str) -> Result:
        if words[-1].endswith(".service"):
            return OK
        if words[0] == "is-active":
            return Result(0, "active\n", "") if self.running else Result(3, "inactive\n", "")
        if words[0] in {"reload", "start"} and self.broken:
            return FAILED
        if words[0] in {"reload", "start"}:
            time.sleep(self.pause)
            self.running, self.reloads = True, self.reloads + 1
            if not self.stuck:
                self.mute = False
                self.loaded = self.read("/etc/haproxy/haproxy.cfg").content or ""
                for path in set(re.findall(r"map(?:_str_ip)?\(([^,)]+)", self.loaded)):
                    lines = (self.read(path).content or "").splitlines()
                    pairs = (line.split(" ", 1) for line in lines if line[:1] not in ("", "#"))
                    self.maps[path] = [(pair[0], pair[1]) for pair in pairs]
        elif words[0] == "stop":
            self.running = False
        return OK


def _restore(chains: dict[tuple[str, str], list[str]], table: str, line: str) -> bool:
    """Apply a line of iptables-restore; return whether it is valid."""
    if line.startswith(":"):
        chains[table, line[1:].split(maxsplit=1)[0]] = []
        return True
    action, name, rule = line[:2], line.split()[1], f"-A{line[2:]}"
    rules = chains.get((table, name))
    if rules is None or "--to-destination :" in line or (action == "-D" and rule not in rules):
        return False
    if action == "-A":
        rules.append(rule)
    elif action == "-I":
        rules.insert(0, rule)
    elif action == "-D":
        rules.remove(rule)
    elif action == "-F":
        rules.clear()
    elif action == "-X":
        jumps = [other for others in chains.values() for other in others]
        if rules or any(jump.endswith(f" -j {name}") for jump in jumps):
            return False
        del chains[table, name]
    return True


def sender(
    system: System, kind: type[Target], folder: str, shared_sections: Mapping[str, Any]
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return a function that serves requests to a fake host in this process."""

    def send(request: Mapping[str, Any]) -> dict[str, Any]:
        store = stores.Store(system, folder)
        return transaction.serve(kind(system, shared_sections), store, dict(request))

    return send
