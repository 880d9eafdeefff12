"""Find and take over NAT rules that people wrote by the lab sheet. Pure.

Runs on the host too: standard library alone.
"""

from __future__ import annotations

import re
from typing import List, Sequence, Set, Tuple

from remote import managed_block

MAX_PORT = 65535
_REDIRECTING = ("DNAT", "REDIRECT", "NETMAP")
# The sheet's rule.
_SHEET = re.compile(
    r" -A PREROUTING| -d \S+| -i \S+| -p (?:tcp|udp)| -m (?:tcp|udp|comment)| --dport \d+|"
    r" -j DNAT| --to(?:-destination)? \S+| --comment (?:\"[^\"]*\"|\S+)"
)
_DNAT = re.compile(
    r"-A PREROUTING\b(?=.*\s-j DNAT\b)(?=.*\s-p (tcp|udp)\b).*\s--dport (\d+)(?=\s|$)"
)


def key(line: str) -> str:
    """Return the key of a rule by hand, as `tcp/22222`; nothing for any other line."""
    match = _DNAT.match(line.strip())
    return f"{match.group(1)}/{match.group(2)}" if match else ""


def is_shell_script(text: str) -> bool:
    """Whether UFW runs a script by a shell; one without a `#!` line it does."""
    first = text.partition("\n")[0]
    return not first.startswith("#!") or bool(re.search(r"\b(?:ba|da|a|k|z)?sh\b", first))


def redirects_all(line: str) -> bool:
    """Whether a rule redirects every packet that reaches its custom chain."""
    words = line.replace("iptables-legacy ", "", 1).split()
    target = words[words.index("-j") + 1] if "-j" in words[:-1] else ""
    ports = {"--dport", "--dports", "--ports"} & set(words)
    return words[0] == "-A" and words[1] != "PREROUTING" and target in _REDIRECTING and not ports


def redirected_ports(line: str, chains: Set[str] = frozenset()) -> Tuple[range, ...]:  # type: ignore[assignment]
    """Return the TCP ports that a loaded rule redirects, if any.

    Args:
        line: A rule as `iptables -S` prints it: DNAT or REDIRECT of a port, a list, a range, or
            without one, which means all; the same behind `iptables-legacy`; or `nft`, its table and
            chain, and the rule.
        chains: The custom chains that redirect every packet.
    """
    line = line.replace("iptables-legacy ", "", 1)
    words = line.split()
    if words[0] == "nft":
        return _redirected_by_nft(line)
    if not line.startswith("-A ") or words[1].startswith("GRAPPE-") or words[1] == "OUTPUT":
        return ()
    target = words[words.index("-j") + 1] if "-j" in words[:-1] else ""
    protocol = words[words.index("-p") + 1] if "-p" in words[:-1] else "tcp"
    if target not in (*_REDIRECTING, *chains) or protocol not in ("tcp", "all"):
        return ()
    for option in ("--dport", "--dports", "--ports"):
        if option in words:
            position = words.index(option)
            parts = ports_of(words[position + 1])
            if words[position - 1] != "!":
                return parts
            return tuple(part for part in all_but(parts) if part)
    # In a custom chain, the jump to it may have named the port.
    all_of_it = words[1] == "PREROUTING" and target in _REDIRECTING
    return (range(1, MAX_PORT + 1),) if all_of_it else ()


def ports_of(text: str) -> Tuple[range, ...]:
    """Return the ports of a list such as `80,443` or `8000:8999,22`."""
    parts = []
    for part in text.split(","):
        first, _colon, last = part.partition(":")
        parts.append(range(int(first or 1), int(last or first) + 1))
    return tuple(parts)


def _redirected_by_nft(line: str) -> Tuple[range, ...]:
    chain, _colon, rule = line.partition(": ")
    if " GRAPPE-" in chain:
        return ()
    rule = re.sub(r'"[^"]*"', '""', rule)
    if re.search(r"\budp\b", rule) and not re.search(r"\btcp\b", rule):
        return ()
    if "@" in rule:
        # The rule does not show the content of a named set or map.
        return ()
    match = re.search(r"\b(?:tcp|th) dport (!= )?(\{[^}]*\}|[\d-]+|map \{[^}]*\})", rule)
    if not match:
        return (range(1, MAX_PORT + 1),)
    text = match.group(2).strip("{} ")
    keys = r"(?:^|[{,])\s*(\d+(?:-\d+)?)\s*" + (":" if "map" in text else "(?=[,}]|$)")
    ports = re.findall(keys, text)
    parts = ports_of(",".join(ports).replace("-", ":")) if ports else ()
    return tuple(part for part in all_but(parts) if part) if match.group(1) else parts


def all_but(parts: Sequence[range]) -> List[range]:
    """Return the ports outside these ranges."""
    edges = [1, *(edge for part in sorted(parts, key=min) for edge in (part.start, part.stop))]
    edges.append(MAX_PORT + 1)
    return [range(edges[n], edges[n + 1]) for n in range(0, len(edges), 2)]


def has_more_conditions(line: str) -> bool:
    """Whether a rule by hand has more conditions than the sheet's: a source, a rate, and so on."""
    rest = _SHEET.sub("", " ".join(["", *line.split()]))
    return bool(rest.strip())


def without(text: str, keys: Set[str]) -> str:
    """Return before.rules without the rules by hand for these ports; our part stays."""
    if not keys:
        return text
    found = managed_block.split(text)
    kept = found._replace(before=_filter(found.before, keys), after=_filter(found.after, keys))
    return managed_block.join(kept)


def rules_for(lines: List[str], keys: Set[str]) -> List[str]:
    """Return those of the loaded rules that are unmanaged and for these ports."""
    return [line for line in lines if key(line) in keys]


def _filter(text: str, keys: Set[str]) -> str:
    return "".join(line for line in text.splitlines(True) if key(line) not in keys)
