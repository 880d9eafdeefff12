"""Provide the Pulumi engine: from PATH, from its installer, or built here.

A fetched or built one stays outside the tree, in the user's cache.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator

from core import errors, names
from hosts import command

VERSION = "3.250.0"
# An engine that takes `replace_with`, which came at the end of 2025: an older one refuses the
# program. It also refreshes inside `up` and hands providers the stack's config.
OLDEST = (3, 220, 0)
INSTALLER = "https://get.pulumi.com"
INSTALLER_SECONDS = 10
BUILD_SECONDS = 3600
HERE = pathlib.Path(__file__).parent
MODULES = {
    "pulumi": ("cli", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"),
    "pulumi-language-python.bin": (
        "language",
        "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
    ),
}
# Files of the SDK's Go module that the language host starts.
SDK_FILES = (
    "python/cmd/pulumi-language-python-exec",
    "python/dist/pulumi-resource-pulumi-python",
)


@dataclasses.dataclass(frozen=True)
class Engine:
    """An available engine.

    Attributes:
        folder: The folder to put first on PATH; None if PATH has it already.
        version: Its version.
        source: `on PATH`, `installed` or `built`.
    """

    folder: pathlib.Path | None
    version: str
    source: str


def find() -> Engine | None:
    """Return the engine on PATH or in the cache, if any."""
    on_path = shutil.which("pulumi")
    if on_path and not on_path.startswith(f"{_home()}/"):
        version = _version(on_path)
        if version and _numbers(version) >= OLDEST and shutil.which("pulumi-language-python"):
            return Engine(None, version, "on PATH")
    for source in ("installed", "built"):
        folder = _home() / source
        if (folder / "pulumi").exists():
            return Engine(folder, VERSION, source)
    return None


def ensure(report: Callable[[str], None]) -> Engine:
    """Return the engine; install or build it if missing.

    Raises:
        errors.GrappeError: Neither its installer nor Go is available.
    """
    found = find()
    if found:
        return found
    report("trying Pulumi's installer")
    if not _install():
        go = _go()
        report("building the engine from its Go modules, some minutes, once for this machine")
        _build(go, report)
    found = find()
    if found is None:
        raise errors.CommandError(
            "the installation of the Pulumi engine left no usable engine",
            do=f"remove {_home()} and run this again, or install Pulumi {VERSION} or later",
        )
    return found


def _home() -> pathlib.Path:
    return names.cache() / "engine" / VERSION


def _install() -> bool:
    """Run the official installer; return whether that succeeded."""
    import urllib.request  # noqa: PLC0415 - every command starts by way of this module

    try:
        with urllib.request.urlopen(INSTALLER, timeout=INSTALLER_SECONDS) as answer:
            script = answer.read()
    except OSError:
        return False
    with _workspace() as work:
        argv = ["sh", "-s", "--", "--version", VERSION, "--no-edit-path",
                "--install-root", str(work)]  # fmt: skip
        done = command.execute(argv, stdin=script, timeout=600)
        if not done.ok:
            return False
        (work / "bin").rename(_home() / "installed")
    return True


def _go() -> str:
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate and pathlib.Path(candidate).exists():
            return candidate
    raise errors.GrappeError(
        "the Pulumi engine is not on PATH, its installer cannot be reached, "
        "and there is no Go to build it with",
        do=f"install Pulumi {VERSION} or later, or Go 1.25.11 or later, then run this again",
    )


def _build(go: str, report: Callable[[str], None]) -> None:
    with _workspace() as work:
        target = work / "bin"
        target.mkdir()
        for program, (module, package) in MODULES.items():
            report(f"building {program.removesuffix('.bin')}")
            flag = f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{VERSION}"
            argv = [go, "build", "-C", str(HERE / module), "-trimpath", "-ldflags", flag,
                    "-o", str(target / program), package]  # fmt: skip
            _must(command.execute(argv, timeout=BUILD_SECONDS))
        argv = [go, "list", "-C", str(HERE / "cli"), "-m", "-f", "{{.Dir}}",
                "github.com/pulumi/pulumi/sdk/v3"]  # fmt: skip
        sdk = pathlib.Path(_must(command.execute(argv, timeout=600)).stdout.strip())
        for source in (*(sdk / name for name in SDK_FILES), HERE / "pulumi-language-python"):
            shutil.copyfile(source, target / source.name)
            (target / source.name).chmod(0o755)
        with contextlib.suppress(OSError):
            # Another run may have built the same engine meanwhile.
            target.rename(_home() / "built")


def _must(done: command.CommandResult) -> command.CommandResult:
    do = f"install Pulumi {VERSION} or later by hand and put it on PATH"
    return done.demand("the engine could not be built", do)


@contextlib.contextmanager
def _workspace() -> Iterator[pathlib.Path]:
    """Yield a temporary folder beside the engines, so that the last step is one rename."""
    _home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_home(), prefix=".build-") as folder:
        yield pathlib.Path(folder)


def _version(program: str) -> str:
    done = command.execute([program, "version"], timeout=20)
    return done.stdout.strip().removeprefix("v") if done.ok else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
