"""A program to run in an instance, and the file that runs it; pure."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Iterator, Mapping

from core import validators

HIDDEN = "[secret]"
# The first line of a program that waits for the program of an earlier run.
WAITING = "waits for the program of an earlier run"
# The fewest characters of a line that count as a secret.
SHORTEST = 3
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OnLine = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Circumstances:
    """The circumstances of a program.

    Attributes:
        environment: Variables beside LXD's own.
        directory: Its working directory; empty for the user's home.
        user: Its user; empty for root.
        timeout: Seconds after which it is ended as failed.
        creates: A path: while it exists, the program need not run; when it goes, it runs again.
        unless: A shell command: if it succeeds, the program need not run.
    """

    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    directory: str = ""
    user: str = ""
    timeout: int = 600
    creates: str = ""
    unless: str = ""

    def checks(self, prefix: str = "") -> Iterator[tuple[str, object, str]]:
        """Yield the checks of the values: the key behind the prefix, the value, the problem."""
        for key in ("directory", "creates"):
            if path := getattr(self, key):
                yield f"{prefix}{key}", path, validators.problem_of_path(path)
        if self.timeout < 1:
            yield f"{prefix}timeout", self.timeout, "is not a time. Seconds, from 1."
        yield from check_variables(f"{prefix}environment", self.environment)


def check_variables(prefix: str, variables: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    """Yield the variables whose names are none."""
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            yield f"{prefix}.{name}", name, "is not the name of a variable."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Script(Circumstances):
    """A program, and its circumstances.

    Attributes:
        text: The program, run by `sh -eu`, or by the interpreter of its `#!` line.
        stdin: Its standard input; no output shows it.
        waits: Seconds that the program of an earlier run may take before it.
    """

    text: str
    stdin: str = ""
    waits: int = 0


def render(script: Script) -> str:
    """Return the file that runs a script; shell builtins carry its data, which no argv shows."""
    lines = [
        'rm -f -- "$0"',
        # First wait for a program that an earlier run of Grappe left.
        "exec 9>/run/grappe-exec.lock",
        f"flock -n 9 || {{ echo {shlex.quote(WAITING)}; flock 9; }}",
    ]
    if script.creates:
        lines.append(f"[ -e {shlex.quote(script.creates)} ] && exit 0")
    if script.unless:
        lines.append(f"( {script.unless}\n) >/dev/null 2>&1 9>&- && exit 0")
    lines += [
        "folder=$(mktemp -d /run/grappe-exec.XXXXXX) || exit 1",
        "trap 'rm -rf -- \"$folder\"' EXIT",
        f"printf '%s' {shlex.quote(script.text)} > \"$folder/program\"",
        f"printf '%s' {shlex.quote(script.stdin)} > \"$folder/stdin\"",
        *(f"export {key}={shlex.quote(value)}" for key, value in script.environment.items()),
    ]
    become = ""
    if script.user:
        user = shlex.quote(script.user)
        become = f"runuser -u {user} -- "
        lines += [
            f'chown -R {user} "$folder" || exit 1',
            f"HOME=$(getent passwd {user} | cut -d: -f6); export HOME",
        ]
    folder = shlex.quote(script.directory) if script.directory else '"${HOME:-/}"'
    program = (
        f'timeout --kill-after=5 {script.timeout} {_interpreter(script.text)} "$folder/program"'
    )
    lines += [
        f"cd -- {folder} || exit 1",
        f'{become}{program} < "$folder/stdin" 9>&-',
    ]
    return "\n".join(lines) + "\n"


def _interpreter(text: str) -> str:
    first = text.split("\n", 1)[0]
    return shlex.join(shlex.split(first[2:])) if first.startswith("#!") else "sh -eu"


class SecretMask:
    """Replaces a script's standard input, which is secret, by a mark."""

    def __init__(self, script: Script) -> None:
        words = {script.stdin.strip()}
        # Output comes line by line; a line of a letter or two, such as an answer, is no secret.
        lines = (line.strip() for line in script.stdin.splitlines())
        words |= {line for line in lines if len(line) >= SHORTEST}
        self._words = sorted((word for word in words if word), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return a text without the secrets."""
        for word in self._words:
            text = text.replace(word, HIDDEN)
        return text


class Lines:
    """Joins pieces of output into lines."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        """Take a piece; report the lines that it completes."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        for line in whole:
            # Of a progress bar that overwrites itself, only the last text counts.
            self._on_line(line.decode(errors="replace").rstrip("\r").rpartition("\r")[2])

    def end(self) -> None:
        """Report the unfinished last line."""
        if self._rest:
            self.feed(b"\n")
