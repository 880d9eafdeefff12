"""What HAProxy's unit loads: its files in their order, and the environment that they name.

Runs on the host: standard library alone. Debian's unit takes its configuration from `CONFIG` and
more arguments from `EXTRAOPTS`, which /etc/default/haproxy may set; a drop-in may say otherwise.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import Callable, Dict, List, NamedTuple

CONFIG = "/etc/haproxy/haproxy.cfg"
_FIELDS = "MainPID,LoadState,ExecStart,Environment,EnvironmentFiles"
SHOW = ["systemctl", "show", "haproxy", "-p", _FIELDS]
_NAME = re.compile(r"[A-Za-z_]\w*")


class Unit(NamedTuple):
    """What the unit's next start or reload loads.

    Attributes:
        files: The paths after each `-f`, in their order; folders as the files in them. Without a
            unit, the configuration that Debian's loads.
        environment: The variables that the unit sets.
        pid: The main process; 0 where HAProxy does not run.
        masked: Whether systemd refuses to start it.
    """

    files: List[str]
    environment: Dict[str, str]
    pid: int
    masked: bool = False

    def check(self, config: str) -> List[str]:
        """Return the command that checks all of it, with another file instead of haproxy.cfg.

        In master mode, as the unit runs it: without, a `program` section is an error.
        """
        argv = ["haproxy", "-W", "-c"]
        for path in self.files if CONFIG in self.files else [*self.files, CONFIG]:
            argv += ["-f", config if path == CONFIG else path]
        return argv


def detached(config: str) -> str:
    """Return a configuration that means the same in another folder than haproxy.cfg's."""
    folder = os.path.dirname(CONFIG)
    for word, origin in (("config", folder), ("parent", os.path.dirname(folder))):
        line = re.compile(rf"^([ \t]*default-path[ \t]+){word}\b", re.MULTILINE)
        config = line.sub(rf"\1origin {origin}", config)
    return config


def parse(shown: str, text: Callable[[str], str]) -> Unit:
    """Return what a unit loads.

    Args:
        shown: What `SHOW` printed.
        text: Returns what a file says; nothing where it cannot be read.
    """
    fields: Dict[str, List[str]] = {}
    for line in shown.splitlines():
        name, _equals, value = line.partition("=")
        fields.setdefault(name, []).append(value)
    environment = dict(
        word.split("=", 1)
        for word in _split(" ".join(fields.get("Environment", [])))
        if "=" in word
    )
    for entry in fields.get("EnvironmentFiles", []):
        environment.update(_assignments(text(entry.rpartition(" (")[0] or entry)))
    pid = "".join(fields.get("MainPID", []))
    started = re.search(r"argv\[\]=(.*?) ;", " ".join(fields.get("ExecStart", [])))
    words = _expand(started.group(1).split() if started else [], environment)
    files = [path for each in named(words) for path in listed(each)]
    masked = fields.get("LoadState") == ["masked"]
    return Unit(files or [CONFIG], environment, int(pid) if pid.isdigit() else 0, masked)


def named(words: List[str]) -> List[str]:
    """Return the files of HAProxy's arguments: behind each -f, and all behind `--`."""
    options, rest = words, []
    if "--" in words:
        options, rest = words[: words.index("--")], words[words.index("--") + 1 :]
    return [word for n, word in enumerate(options) if n and options[n - 1] == "-f"] + rest


def listed(path: str) -> List[str]:
    """Return the files that HAProxy loads of a path: those of a folder by name, or itself."""
    if not os.path.isdir(path):
        return [path]
    names = sorted(name for name in os.listdir(path) if name.endswith(".cfg") and name[0] != ".")
    return [os.path.join(path, name) for name in names]


def _expand(words: List[str], environment: Dict[str, str]) -> List[str]:
    """Return the words of a command line as systemd makes them: `$NAME` alone becomes words."""
    expanded: List[str] = []
    for word in words:
        if word[:1] == "$" and _NAME.fullmatch(word[1:]):
            expanded += _split(environment.get(word[1:], ""))
        else:
            expanded.append(re.sub(r"\$\{(\w+)\}", lambda m: environment.get(m.group(1), ""), word))
    return expanded


def _assignments(text: str) -> Dict[str, str]:
    """Return what a file of variables sets; comments and what is no assignment set nothing."""
    variables = {}
    for line in text.replace("\\\n", " ").splitlines():
        name, equals, value = line.strip().partition("=")
        name = name[7:].strip() if name.startswith("export ") else name.strip()
        if equals and _NAME.fullmatch(name):
            variables[name] = " ".join(_split(value))
    return variables


def _split(text: str) -> List[str]:
    try:
        return shlex.split(text)
    except ValueError:
        # A quote without its end, which systemd takes too.
        return text.replace('"', "").replace("'", "").split()
