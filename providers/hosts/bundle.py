"""Sending our own modules to a host: source text in, one program out.

The program is argv and holds no data; the modules and the request travel on
standard input, so nothing of a request stands in a process list.
"""

from __future__ import annotations

import importlib.util
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

# Reads {"modules": [[name, source], ...], "request": ...} and prints the JSON of main(request).
PROGRAM = """
import json, sys, types
sent = json.load(sys.stdin)
for name, source in sent["modules"]:
    parts = name.split(".")
    for end in range(1, len(parts)):
        package = ".".join(parts[:end])
        if package not in sys.modules:
            sys.modules[package] = types.ModuleType(package)
            sys.modules[package].__path__ = []
    module = types.ModuleType(name)
    sys.modules[name] = module
    setattr(sys.modules[".".join(parts[:-1])], parts[-1], module)
    exec(compile(source, name, "exec"), module.__dict__)
json.dump(module.main(sent["request"]), sys.stdout)
"""


def make(module: str, needs: Sequence[str], request: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return the program and its standard input for `main(request)` of `module`.

    Args:
        module: The dotted name of a module of ours that defines `main`.
        needs: Dotted names of our modules that it imports, each before its users.
        request: Anything JSON can carry.

    """
    sources = [[name, _source(name)] for name in (*needs, module)]
    return PROGRAM, json.dumps({"modules": sources, "request": request}).encode()


def _source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    return pathlib.Path(spec.origin).read_text()
