"""Survey the lines of a workstation's hosts file for a lab's domains. Runs there, read only."""

from __future__ import annotations

from typing import Any, Dict, List

from remote import managed_block, untouchable
from remote.surveys import facts
from remote.system import read_text

Json = Dict[str, Any]


def main(request: Json) -> facts.HostsFileFacts:
    """Survey the hosts file.

    Args:
        request: `path`, the file's, and `domains`.
    """
    text = read_text(request["path"])
    return {
        "lines": _lines(text, set(request["domains"])),
        "fixed": untouchable.reasons([request["path"]]),
    }


def _lines(text: str, domains: Any) -> List[facts.HostsLine]:
    found: List[facts.HostsLine] = []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith((managed_block.BEGIN, managed_block.END)):
            inside = line.startswith(managed_block.BEGIN)
            continue
        words = line.split("#", 1)[0].split()
        named = sorted(domains & {word.lower() for word in words[1:]})
        if named and not inside:
            found.append(
                {"number": number, "address": words[0], "domains": named, "text": line.strip()}
            )
    return found
