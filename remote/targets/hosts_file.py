"""The managed part of a hosts file. Runs on the workstation: standard library alone."""

from __future__ import annotations

from typing import List

from remote import managed_block
from remote.system import File
from remote.target import Files, Fragment, Target


class HostsTarget(Target):
    """The entries of one hosts file; resolvers reread it, so activation does nothing."""

    name = "hosts"

    def paths(self) -> List[str]:
        """Return the hosts file."""
        return [self.shared_sections["path"]]

    def compile(self, fragments: List[Fragment], current: Files) -> Files:
        """Return the hosts file with these entries."""
        path = self.shared_sections["path"]
        if not fragments:
            return {path: File(managed_block.remove(current[path].content))}
        body = "".join(f"{fragment['parts']['line']}\n" for fragment in fragments)
        return {path: File(managed_block.put(current[path].content, body))}
