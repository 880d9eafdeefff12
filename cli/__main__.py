"""`./lab`: Grappe's command line."""

from __future__ import annotations

import dataclasses
import gc
import importlib
import io
import os
import signal
import sys

from cli import parser
from core import errors


def main() -> int:
    """Run one command and return its exit status; print an error without a traceback."""
    # A caller may have closed our output: `./lab explain alice >&-`.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 - as long as we run
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        # PYTHONIOENCODING may name an encoding that lacks the marks of our output.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    run, as_json = "", False
    try:
        run, arguments = parser.parse(sys.argv[1:])
        as_json = bool(arguments.get("as_json"))
        module, _, function = run.partition(":")
        return int(getattr(importlib.import_module(module), function)(**arguments))
    except errors.GrappeError as error:
        report(error, as_json=as_json)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; running it again is safe\n")
    except BrokenPipeError:
        # The reader of our output has closed the pipe.
        sys.stderr.close()
        return 0
    except OSError as error:
        report(errors.GrappeError(str(error)), as_json=as_json)
    except Exception as error:
        # GRAPPE_DEBUG shows the traceback to Grappe's developers.
        if os.environ.get("GRAPPE_DEBUG"):
            raise
        report(errors.unexpected(error), as_json=as_json)
    # For check and doctor, exit status 1 means findings; an error is 2.
    return 2 if run in {"cli.check:run", "cli.doctor:run", "cli.class_reports:check"} else 1


def report(error: errors.GrappeError, *, as_json: bool) -> None:
    """Print an error; for a program that reads JSON, on the standard output too."""
    sys.stderr.write(f"error: {error}\n")
    if as_json:
        import json  # noqa: PLC0415 - most commands need none of it

        write(json.dumps({"error": dataclasses.asdict(error)}) + "\n")


def write(text: str = "") -> bool:
    """Write text and flush the output; return False for an error other than a closed pipe."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Python would flush again at its exit, and print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"error: the output cannot be written: {error.strerror}\n")
            return False
    return True


if __name__ == "__main__":
    status = main()
    if not write():
        status = status or 1
    # A second Ctrl-C during Python's exit must not print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The last garbage collection would take 0.1 s and free nothing.
    gc.freeze()
    sys.exit(status)
