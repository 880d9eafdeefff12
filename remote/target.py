"""What the fragments of one kind are compiled into, and how it is brought to life."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from remote.system import File, RefusedError, System

Fragment = Dict[str, Any]
Files = Dict[str, File]


class Target:
    """One kind of shared configuration; each kind has its own.

    Args:
        system: The host.
        frame: What surrounds the fragments, rendered by the sender.

    """

    name = ""
    # Symbolic links of our own; any other shared file must be a real file.
    links: Tuple[str, ...] = ()

    def __init__(self, system: System, frame: Mapping[str, Any]) -> None:
        self.system = system
        self.frame = frame
        # What is to be told of a change that did not go its usual way.
        self.notes: List[str] = []

    def paths(self) -> List[str]:
        """Return the shared files that this target has a part in."""
        raise NotImplementedError

    def compile(self, fragments: List[Fragment], current: Files) -> Files:
        """Return the shared files as they should be; pure."""
        raise NotImplementedError

    def check(self, fragments: List[Fragment], newest: str, held: Optional[Fragment]) -> None:
        """Raise RefusedError where the fragments contradict each other.

        Args:
            fragments: All of them, in the order of their ids.
            newest: The id of the one that was put last, which is to blame.
            held: What it takes the place of, where there was something.

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
        """Try the staged files with the real tool; raise RefusedError with its own words."""

    def activate(self, files: Files) -> None:
        """Bring the files to life."""

    def verify(self, files: Files) -> str:
        """Return what is wrong with what is really loaded; nothing when all is well."""
        return ""

    def explain(self, fragment: Fragment, files: Files) -> str:
        """Return what is wrong with this fragment in what is really loaded."""
        return self.verify(files)

    def leave(self) -> None:
        """Take away what is live, after the last fragment has gone."""
