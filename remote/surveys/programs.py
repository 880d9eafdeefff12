"""Run a program of the host for a survey. Standard library alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Dict, List, Optional, Sequence, Tuple

PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"


def which(name: str) -> str:
    """Return a program's path; nothing where it is not installed."""
    return shutil.which(name, path=PATH) or ""


def run(
    argv: List[str], environment: Optional[Dict[str, str]] = None, keep: Sequence[int] = (),
    stdin: bytes = b"",
) -> Tuple[int, str, str]:  # fmt: skip
    """Run a program; return its exit status, standard output and standard error.

    Args:
        argv: The program and its arguments.
        environment: Variables beside those of this process.
        keep: File descriptors that it gets.
        stdin: Its standard input.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=20,
            env={**os.environ, **(environment or {}), "PATH": PATH, "LC_ALL": "C"},
            check=False,
            pass_fds=keep,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, "", str(error)
    return (
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
    )
