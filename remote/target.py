"""The base of a kind of shared configuration: compile its fragments, activate the result."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from remote.system import File, RefusedError, System

Fragment = Dict[str, Any]
Files = Dict[str, File]


class Target:
    """One kind of shared configuration; each kind has its own.

    Args:
        system: The host.
        shared_sections: What surrounds the fragments, the same for all of them, from the sender.
    """

    name = ""
    # Our own symbolic links; any other shared file must be a real file.
    links: Tuple[str, ...] = ()

    def __init__(self, system: System, shared_sections: Mapping[str, Any]) -> None:
        self.system = system
        self.shared_sections = shared_sections
        # Messages about a change that did not go the usual way.
        self.notes: List[str] = []

    def paths(self) -> List[str]:
        """Return the paths of this target's shared files."""
        raise NotImplementedError

    def compile(self, fragments: List[Fragment], current: Files) -> Files:
        """Return the shared files as they should be; pure."""
        raise NotImplementedError

    def check(self, fragments: List[Fragment], newest: str, held: Optional[Fragment]) -> None:
        """Raise RefusedError where the fragments contradict each other.

        Args:
            fragments: All of them, in the order of their ids.
            newest: The id of the one that was put last, which is to blame.
            held: The fragment that it replaces, if any.
        """
        del held
        holders: Dict[str, Fragment] = {}
        for fragment in sorted(fragments, key=lambda item: item["id"] == newest):
            for key in fragment["keys"]:
                if key in holders:
                    raise RefusedError(
                        f"{key} is taken",
                        f"by {holders[key]['id']} (stack {holders[key]['owner']})",
                        "choose another",
                        fragment=fragment["id"],
                    )
                holders[key] = fragment

    def validate(self, files: Files, staged: Dict[str, str]) -> None:
        """Check the staged files with the real tool; raise RefusedError with its message."""

    def activate(self, files: Files) -> None:
        """Load the files."""

    def verify(self, files: Files) -> str:
        """Return how the loaded configuration differs from the files; nothing when it does not."""
        return ""

    def diagnose(self, fragments: List[Fragment], files: Files) -> List[str]:
        """Return for each fragment what is wrong with it in the loaded configuration."""
        return [self.verify(files)] * len(fragments)

    def deactivate(self) -> None:
        """Unload everything, after the last fragment was removed."""
