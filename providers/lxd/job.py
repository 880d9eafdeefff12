"""A program to be run in an instance, and the file that runs it; pure."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Mapping

HIDDEN = "[secret]"
# Characters that a line of a secret has at least.
SHORTEST = 3
Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A program, and how it is run.

    Attributes:
        script: A script, run by `sh -eu`, or by what its first line says after `#!`.
        environment: Variables beside LXD's own.
        secrets: Variables whose values are never shown.
        stdin: What it reads; never shown.
        directory: Where it runs; empty for the user's home.
        user: Who runs it; empty for root.
        timeout: Seconds after which it is ended.
        creates: A path: where it is there, there is nothing to do.
        unless: A shell command: where it succeeds, there is nothing to do.
    """

    script: str
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    secrets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stdin: str = ""
    directory: str = ""
    user: str = ""
    timeout: int = 600
    creates: str = ""
    unless: str = ""


def render(job: Job) -> str:
    """Return the file that runs a job; every word of it is the shell's own, no argv shows it."""
    exports = {**job.environment, **job.secrets}
    lines = [
        'rm -f -- "$0"',
        # A program that an ended run of Grappe left goes first.
        "exec 9>/run/grappe-exec.lock",
        "flock 9",
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
        *(f"export {key}={shlex.quote(value)}" for key, value in exports.items()),
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


class Hider:
    """Puts a mark in the place of what is secret in a job."""

    def __init__(self, job: Job) -> None:
        whole = [job.stdin, *job.secrets.values()]
        words = {text.strip() for text in whole}
        # Output comes line by line; a line of a letter or two, as an answer is, is no secret.
        lines = (line.strip() for text in whole for line in text.splitlines())
        words |= {line for line in lines if len(line) >= SHORTEST}
        self._words = sorted((word for word in words if word), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return a text without the secrets."""
        for word in self._words:
            text = text.replace(word, HIDDEN)
        return text


class Lines:
    """Puts together lines of what comes in pieces."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        """Take a piece; tell the lines that it ends."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        for line in whole:
            # What a progress bar drew over itself: the last of it counts.
            self._say(line.decode(errors="replace").rstrip("\r").rpartition("\r")[2])

    def end(self) -> None:
        """Tell what is left."""
        if self._rest:
            self.feed(b"\n")
