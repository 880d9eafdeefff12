"""What a workstation's hosts file says of a lab's domains. Runs there, read only."""

from __future__ import annotations

from typing import Any, Dict, List

from remote import managed_block, untouchable
from remote.system import read_text

Json = Dict[str, Any]


def main(request: Json) -> Json:
    """Look at the hosts file.

    Args:
        request: `path`, the file's, and `domains`.

    Returns:
        `lines`, those outside of Grappe's part that name one of the domains, each `{number,
        address, domains, text}`; and `fixed`, as `untouchable.reasons` returns it.

    """
    text = read_text(request["path"])
    return {
        "lines": _lines(text, set(request["domains"])),
        "fixed": untouchable.reasons([request["path"]]),
    }


def _lines(text: str, domains: Any) -> List[Json]:
    found, inside = [], False
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
