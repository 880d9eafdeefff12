"""The rooms of a tree and the arrows between them: `python -m tests.rooms [FOLDER]`.

A room is a top-level package; each kind in `providers/` is one of its own. An arrow is an import of
one room by another.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys

import grimp

OUTSIDE = {"bench", "campaign", "tests", "sandbox"}


def rooms(folder: pathlib.Path) -> tuple[set[str], set[tuple[str, str]], set[tuple[str, str]]]:
    """Return the rooms of a tree, the arrows between them, and those that lie in a circle."""
    packages = sorted(
        path.parent.name for path in folder.glob("*/__init__.py") if path.parent.name not in OUTSIDE
    )
    graph = grimp.build_graph(*packages, cache_dir=None)
    arrows = {
        (_room(importer), _room(imported))
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    }
    arrows = {arrow for arrow in arrows if arrow[0] != arrow[1]}
    found = {_room(name) for name in graph.modules}
    return found, arrows, {arrow for arrow in arrows if _leads(arrow[1], arrow[0], arrows)}


def _room(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "providers" and len(parts) > 2 else parts[0]


def _leads(start: str, end: str, arrows: set[tuple[str, str]]) -> bool:
    seen, todo = set(), [start]
    while todo:
        room = todo.pop()
        if room == end:
            return True
        if room not in seen:
            seen.add(room)
            todo += [to for origin, to in arrows if origin == room]
    return False


def lines(folder: pathlib.Path) -> int:
    """Return how many lines of Python a tree has outside its tests."""
    argv = ["git", "ls-files", "*.py"]
    listed = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True).stdout
    paths = [folder / name for name in listed.split() if not name.startswith("tests/")]
    return sum(len(path.read_text().splitlines()) for path in paths)


def main() -> None:
    """Print a tree's rooms, arrows and lines."""
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    sys.path.insert(0, str(folder))
    found, arrows, circles = rooms(folder)
    for room in sorted(found):
        to = sorted(imported for importer, imported in arrows if importer == room)
        sys.stdout.write(f"{room:28} -> {', '.join(to)}\n")
    sys.stdout.write(
        f"{len(found)} rooms, {len(arrows)} arrows, {len(circles)} of them in circles, "
        f"{lines(folder)} lines outside tests\n"
    )


if __name__ == "__main__":
    main()
