"""A program to run in an instance, and the file that runs it; pure."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Mapping

HIDDEN = "[secret]"
# The line that a program prints first that must wait.
WAITING = "waits for the program of an earlier run"
# The fewest characters of a line that count as a secret.
SHORTEST = 3
OnLine = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A program, and its circumstances.

    Attributes:
        script: A script, run by `sh -eu`, or by the interpreter of its `#!` line.
        environment: Variables beside LXD's own.
        stdin: Its standard input; no output shows it.
        directory: Its working directory; empty for the user's home.
        user: Its user; empty for root.
        timeout: Seconds after which it is ended.
        creates: A path: while it exists, the program need not run.
        unless: A shell command: if it succeeds, the program need not run.
    """

    script: str
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stdin: str = ""
    directory: str = ""
    user: str = ""
    timeout: int = 600
    creates: str = ""
    unless: str = ""


def render(job: Job) -> str:
    """Return the file that runs a job; shell builtins carry its data, so that no argv shows it."""
    lines = [
        'rm -f -- "$0"',
        # First end a program that a dead run of Grappe left.
        "exec 9>/run/grappe-exec.lock",
        f"flock -n 9 || {{ echo {shlex.quote(WAITING)}; flock 9; }}",
    ]
    if job.creates:
        lines.append(f"[ -e {shlex.quote(job.creates)} ] && exit 0")
    if job.unless:
        lines.append(f"( {job.unless}\n) >/dev/null 2>&1 9>&- && exit 0")
    lines += [
        "folder=$(mktemp -d /run/grappe-exec.XXXXXX) || exit 1",
        "trap 'rm -rf -- \"$folder\"' EXIT",
        f"printf '%s' {shlex.quote(job.script)} > \"$folder/program\"",
        f"printf '%s' {shlex.quote(job.stdin)} > \"$folder/stdin\"",
        *(f"export {key}={shlex.quote(value)}" for key, value in job.environment.items()),
    ]
    become = ""
    if job.user:
        user = shlex.quote(job.user)
        become = f"runuser -u {user} -- "
        lines += [
            f'chown -R {user} "$folder" || exit 1',
            f"HOME=$(getent passwd {user} | cut -d: -f6); export HOME",
        ]
    folder = shlex.quote(job.directory) if job.directory else '"${HOME:-/}"'
    program = f'timeout --kill-after=5 {job.timeout} {_interpreter(job.script)} "$folder/program"'
    lines += [
        f"cd -- {folder} || exit 1",
        f'{become}{program} < "$folder/stdin" 9>&-',
    ]
    return "\n".join(lines) + "\n"


def _interpreter(script: str) -> str:
    first = script.split("\n", 1)[0]
    return shlex.join(shlex.split(first[2:])) if first.startswith("#!") else "sh -eu"


class SecretMask:
    """Replaces a job's standard input, which is secret, by a mark."""

    def __init__(self, job: Job) -> None:
        words = {job.stdin.strip()}
        # Output comes line by line; a line of a letter or two, such as an answer, is no secret.
        lines = (line.strip() for line in job.stdin.splitlines())
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
