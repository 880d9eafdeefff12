"""Print a tree's packages and the imports between them: `python -m tests.rooms [FOLDER]`.

A package here is a top-level package, or a kind in `providers/`.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys

import grimp

OUTSIDE = {"bench", "campaign", "tests", "sandbox"}


def import_graph(
    folder: pathlib.Path,
) -> tuple[set[str], set[tuple[str, str]], set[tuple[str, str]]]:
    """Return the packages of a tree, the imports between them, and those that are in a cycle."""
    packages = sorted(
        path.parent.name for path in folder.glob("*/__init__.py") if path.parent.name not in OUTSIDE
    )
    graph = grimp.build_graph(*packages, cache_dir=None)
    imports = {
        (_package(importer), _package(imported))
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    }
    imports = {pair for pair in imports if pair[0] != pair[1]}
    found = {_package(name) for name in graph.modules}
    return found, imports, {pair for pair in imports if _reaches(pair[1], pair[0], imports)}


def _package(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "providers" and len(parts) > 2 else parts[0]


def _reaches(start: str, end: str, imports: set[tuple[str, str]]) -> bool:
    seen, todo = set(), [start]
    while todo:
        package = todo.pop()
        if package == end:
            return True
        if package not in seen:
            seen.add(package)
            todo += [to for origin, to in imports if origin == package]
    return False


def lines(folder: pathlib.Path) -> int:
    """Return how many lines of Python a tree has outside its tests."""
    argv = ["git", "ls-files", "*.py"]
    listed = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True).stdout
    paths = [folder / name for name in listed.split() if not name.startswith("tests/")]
    return sum(len(path.read_text().splitlines()) for path in paths)


def main() -> None:
    """Print a tree's packages, their imports and the lines of code."""
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    sys.path.insert(0, str(folder))
    found, imports, cycles = import_graph(folder)
    for package in sorted(found):
        to = sorted(imported for importer, imported in imports if importer == package)
        sys.stdout.write(f"{package:28} -> {', '.join(to)}\n")
    sys.stdout.write(
        f"{len(found)} packages, {len(imports)} imports between them, {len(cycles)} in cycles, "
        f"{lines(folder)} lines outside tests\n"
    )


if __name__ == "__main__":
    main()
