"""Find and take over routing that people wrote into haproxy.cfg by the lab sheet. Pure.

Runs on the host too: standard library alone.
"""

from __future__ import annotations

import re
import shlex
from typing import Iterator, List, Mapping, Optional, Set, Tuple

from remote import managed_block

_SECTION = re.compile(
    r"[ \t]*(global|defaults|frontend|backend|listen|userlist|peers|resolvers|cache|program|"
    r"http-errors|ring|mailers|fcgi-app|crt-store|log-forward|log-profile|traces|acme)"
    r"(?=\s|$)[ \t]*(\S*)"
)
_WEB_PORTS = {80, 443}
# The variable with HAProxy's own peer name, which Grappe's table of requests needs.
PEER = "HAPROXY_LOCALPEER"
_COMMENT = re.compile(r"(?:^|[ \t])#.*$", re.MULTILINE)
# What Grappe itself listens at: all addresses.
_EVERYWHERE = {"", "*", "0.0.0.0", "ipv4@", "ipv4@*", "[::]", "::", "ipv6@", "ipv6@*"}
_DOMAINS = re.compile(r"(?:hdr\(host\)|req_ssl_sni|req\.ssl_sni)\s+-i\s+([^\n}]+)")
_LEADS_TO = re.compile(r"^\s*(?:use_backend|default_backend)\s+(\S+)", re.MULTILINE)

# Lines that the sheet puts into such a section, and lines without effect on routing.
_SHEET = re.compile(
    r"$|mode (?:http|tcp)$|bind \S+$|log\s|description\b|maxconn\b|timeout\b|balance\b|"
    r"option (?:httpclose|http-server-close|forwardfor|ssl-hello-chk|httplog|tcplog|dontlognull)$|"
    r"tcp-request inspect-delay\b|cookie JSESSIONID prefix$|acl\b|"
    r"tcp-request content accept if \{ req[._]ssl_hello_type 1 \}$|"
    r"(?:use_backend|use-server|default_backend)\b|"
    r"server \S+ [0-9.]+:(?:80|443)(?: check| cookie \S+)*$"
)

# An acl of domains, a condition, a domain, and a condition of its own about domains.
_ACL = re.compile(r"^\s*acl\s+(\S+)\s+" + _DOMAINS.pattern, re.MULTILINE)
_IF = re.compile(r"\s(if|unless)\s")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_BY_DOMAIN = re.compile(r"\{\s*" + _DOMAINS.pattern + r"\s*\}")

Sections = List[Tuple[str, str, str]]


def binds(
    text: str, variables: Optional[Mapping[str, str]] = None
) -> List[Tuple[int, Set[int], str]]:
    """Return each line that listens: its number, its TCP ports, and the line.

    Words may be quoted, and name variables of the environment as `${NAME}` or `${NAME-default}`.

    An address may precede each port, with `ipv4@` or `ipv6@`, in brackets or not; commas separate
    several, and a port may be a range: `bind :80,[::]:443 ssl`, `bind *:80-90`.
    """
    found = []
    # A section that HAProxy does not start.
    disabled: Set[int] = set()
    begins = 1
    for _kind, _name, body in sections(text):
        ends = begins + len(body.splitlines())
        if re.search(r"^\s*disabled\s*(?:#|$)", body, re.MULTILINE):
            disabled |= set(range(begins, ends))
        begins = ends
    for number, line in enumerate(text.splitlines(), 1):
        words = _words(line, variables or {})
        if len(words) < 2 or words[0] != "bind" or number in disabled or "namespace" in words:
            continue
        ports: Set[int] = set()
        for address in words[1].split(","):
            if address.startswith(("unix@", "abns", "fd@", "/", "quic", "udp")):
                continue
            first, _dash, last = address.rpartition(":")[2].partition("-")
            if first.isdigit() and (last or first).isdigit():
                ports |= set(range(int(first), int(last or first) + 1))
        if ports:
            found.append((number, ports, line.strip()))
    return found


def _words(line: str, variables: Mapping[str, str]) -> List[str]:
    full = re.sub(r"\$\{(\w+)(?:-([^}]*))?\}|\$(\w+)",
                  lambda m: variables.get(m.group(1) or m.group(3), m.group(2) or ""),
                  line)  # fmt: skip
    try:
        return shlex.split(full, comments=True)
    except ValueError:
        # HAProxy refuses a quote without its end, and says so itself.
        return full.split("#", 1)[0].split()


def peer_unsetting_lines(text: str) -> Iterator[Tuple[int, str]]:
    """Yield (number, line) for each line that unsets the variable of HAProxy's own peer name."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words[:1] == [("unsetenv" if PEER in words else "resetenv")]:
            yield number, line.strip()


def domains(text: str) -> Set[str]:
    """Return the domains that unmanaged sections route from ports 80 and 443."""
    mine = _routing(sections(_outside(text)))
    return {
        domain.lower()
        for _kind, _name, body in mine
        for listed in _DOMAINS.findall(_COMMENT.sub("", body))
        for domain in listed.split()
    }


def unaccounted(text: str) -> List[str]:
    """Return the lines of routing by hand that go beyond the sheet's routing by domain.

    Taking over would drop them: their targets would be unreachable, and people whom they keep out
    would get in.
    """
    every = sections(_outside(text))
    mine = _routing(every)
    by_domain = {name for kind, name, body in every if _DOMAINS.search(body)}
    found = []
    for kind, name, body in mine:
        if kind == "listen" and not _DOMAINS.search(body):
            found.append(f"listen {name}")
        acls = {name for name, _domains in _ACL.findall(body)}
        for line in map(str.strip, body.splitlines()[1:]):
            # What goes with the line is shown whole; a comment decides nothing.
            plain = _COMMENT.sub("", line).strip()
            led_to = _LEADS_TO.match(plain)
            leads = led_to and not _IF.search(plain) and led_to.group(1) not in by_domain
            if leads or not (_SHEET.match(plain) and _is_by_domain(plain, acls)):
                found.append(line)
    return found


def _is_by_domain(line: str, acls: Set[str]) -> bool:
    """Whether a line of the sheet listens for everybody, and chooses by nothing but the domain.

    Args:
        line: The line, without a comment.
        acls: The names of the section's acls of domains.
    """
    words = line.split()
    if words[:1] == ["bind"]:
        places = words[1].split(",")
        ports = {port for _number, ports, _line in binds(line) for port in ports}
        return ports <= _WEB_PORTS and all(p.rpartition(":")[0] in _EVERYWHERE for p in places)
    if words[:1] == ["acl"]:
        listed = " ".join(_DOMAINS.findall(line)).split()
        return bool(listed) and all(_NAME.fullmatch(each) for each in listed)
    asked = _IF.split(line, 1)[1:]
    if words[:1] == ["use-server"] and asked[:1] == ["if"]:
        # The sheet sends what has no other server's domain to the last one.
        asked = [asked[0], asked[1].replace("!", "")]
    if not asked or words[0] not in ("use_backend", "use-server"):
        return True
    either = re.split(r"\s+(?:or|\|\|)\s+", asked[1].strip())
    return asked[0] == "if" and all(each in acls or _BY_DOMAIN.fullmatch(each) for each in either)


def without(text: str) -> str:
    """Return haproxy.cfg without the routing by hand; our part and all else stay."""
    found = managed_block.split(text)
    kept = found._replace(before=_strip(found.before), after=_strip(found.after))
    return managed_block.join(kept)


def _outside(text: str) -> str:
    found = managed_block.split(text)
    return found.before + found.after


def _strip(text: str) -> str:
    every = sections(text)
    gone = _routing(every)
    return "".join(section[2] for section in every if section not in gone)


def _routing(every: Sections) -> Sections:
    """Return the frontends on the web's ports, and the backends that only they use."""
    gone = [s for s in every if s[0] in ("frontend", "listen") and _listens(s[2])]
    while True:
        led_to = {name for section in gone for name in _LEADS_TO.findall(section[2])}
        others = [section for section in every if section not in gone]
        kept = {name for section in others for name in _LEADS_TO.findall(section[2])}
        more = [s for s in others if s[0] == "backend" and s[1] in led_to - kept]
        # A name that HAProxy computes may be any backend's.
        if not more or any("%[" in name for name in kept):
            return gone
        gone = gone + more


def _listens(body: str) -> bool:
    return any(ports & _WEB_PORTS for _number, ports, _line in binds(body))


def sections(text: str) -> Sections:
    """Return the sections in their order: kind, name, and the text with its first line."""
    found: Sections = [("", "", "")]
    for line in text.splitlines(True):
        match = _SECTION.match(line)
        if match:
            found.append((match.group(1), match.group(2), line))
        else:
            kind, name, body = found[-1]
            found[-1] = (kind, name, body + line)
    return found
