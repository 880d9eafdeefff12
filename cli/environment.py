"""The environment variables of a plain `pulumi`, and the folder of the states."""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import shlex
import sys

from cli import progress
from core import errors
from engine import engine
from sandbox.layout import Layout
from views import language as views_language

ROOT = pathlib.Path(__file__).parent.parent
STATE = ROOT / ".state"
PASSPHRASE = STATE / "passphrase"


def given(path: str) -> pathlib.Path:
    """Return the path of a file that the user named, relative to the folder of the command line."""
    return pathlib.Path(os.environ.get("GRAPPE_FROM") or ".") / path


def prepare(report: progress.Report) -> dict[str, str]:
    """Prepare engine, state and passphrase; return the variables to set."""
    found = engine.ensure(report)
    STATE.mkdir(mode=0o700, exist_ok=True)
    variables = {
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Our diffs read the host; in sequence they would take most of a run.
        "PULUMI_PARALLEL_DIFF": "true",
        # Its notes about connections that end are for its developers.
        "GRPC_VERBOSITY": os.environ.get("GRPC_VERBOSITY", "ERROR"),
        # Files are UTF-8 whatever the locale.
        "PYTHONUTF8": "1",
        # gRPC would send connections to this machine itself through a school's proxy.
        "no_grpc_proxy": "127.0.0.1,localhost,::1",
        # Run the engine's garbage collector less often: 15 MB more a run save 0.04 s of processor.
        "GOGC": os.environ.get("GOGC", "400"),
    }
    if found.folder and not os.environ.get("PATH", "").startswith(f"{found.folder}{os.pathsep}"):
        variables["PATH"] = f"{found.folder}{os.pathsep}{os.environ.get('PATH', '')}"
    if found.source == "built":
        # Without the installer, plugins are out of reach too: do not wait for them each run.
        variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    if not os.environ.keys() & {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"}:
        variables["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase())
    layout = Layout(os.environ.get("GRAPPE_SANDBOX", "grappe"))
    if layout.ssh_config.exists():
        # The sandbox's hosts; this file includes the user's own ssh_config.
        variables["GRAPPE_SSH_CONFIG"] = str(layout.ssh_config)
    return variables


def _variables() -> dict[str, str]:
    """Return the variables; show a step only where the engine is still missing."""
    if engine.find() is None:
        have_engine()
    return prepare(lambda _text: None)


def language() -> str:
    """Return the language of this process's locale."""
    return views_language.of_locale(os.environ)


def apply() -> None:
    """Prepare, and set the variables for this process and its children."""
    os.environ.update(_variables())


def show() -> int:
    """Print the variables for a shell."""
    for name, value in _variables().items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.write(f"# The state is in {STATE}\n# Its passphrase is in {PASSPHRASE}\n")
    if sys.stdout.isatty():
        sys.stderr.write('To use it in a shell: eval "$(./lab env)"\n')
    return 0


def have_engine() -> None:
    """Prepare the engine, as a step of its own."""
    with progress.step("engine") as step:
        found = engine.ensure(step.report)
        step.detail = f"pulumi {found.version}, {found.source}"


def _passphrase() -> pathlib.Path:
    if PASSPHRASE.exists() and not PASSPHRASE.read_text().strip():
        raise errors.BadInputError(
            f"{PASSPHRASE} is empty: secrets cannot be read without it",
            do="restore it from a backup, or set PULUMI_CONFIG_PASSPHRASE; where no stack has a "
            "secret yet, remove the file",
        )
    if not PASSPHRASE.exists():
        import tempfile  # noqa: PLC0415 - the first run alone needs it

        _demand_nothing_encrypted()
        # A complete file gets its name in one step: a killed run leaves no empty file, and two
        # first runs share one passphrase.
        with tempfile.NamedTemporaryFile("w", dir=PASSPHRASE.parent) as made:
            made.write(secrets.token_urlsafe(24) + "\n")
            made.flush()
            os.fsync(made.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(made.name, PASSPHRASE)
    return PASSPHRASE


def _demand_nothing_encrypted() -> None:
    """Refuse a new passphrase while stack files were encrypted with another one.

    Raises:
        errors.BadInputError: Some were; names them, and the way on without the old passphrase.
    """
    paths = sorted((ROOT / "stacks").glob("Pulumi.*.yaml"))
    old = [path.name for path in paths if "encryptionsalt:" in path.read_text(errors="replace")]
    if old:
        more = f" and {len(old) - 3} more" if len(old) > 3 else ""  # noqa: PLR2004
        raise errors.BadInputError(
            f"{PASSPHRASE} is missing, and {', '.join(old[:3])}{more} were encrypted with it",
            do="restore it, or set PULUMI_CONFIG_PASSPHRASE. If it is lost: move .state/ away, "
            "remove `encryptionsalt:` and all `secure:` values from these files, and keep "
            "grappe:id: `./lab up` finds each lab by its id and goes on",
        )
